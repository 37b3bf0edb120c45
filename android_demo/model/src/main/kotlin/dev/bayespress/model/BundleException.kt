package dev.bayespress.model

import java.io.IOException

/** A bundle or a network that cannot be used. The message is one sentence for the user: what is wrong, and what to do. */
class BundleException(message: String) : IOException(message)
