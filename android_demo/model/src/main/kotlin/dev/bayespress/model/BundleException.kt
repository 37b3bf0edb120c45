package dev.bayespress.model

import java.io.IOException

/** A bundle or a network cannot be used. The message is one sentence for the user with the reason and a remedy. */
class BundleException(message: String) : IOException(message)
