package dev.bayespress.model

import java.util.Locale

/** Formats numbers in the same way on all screens and in all messages and reports, independent of the device's language. */
internal fun String.figures(vararg numbers: Any): String = String.format(Locale.ROOT, this, *numbers)

/** A size in bytes: 1,519 B, 48.9 kB, 1.72 MB. */
fun size(bytes: Long): String = when {
    bytes < 10_000 -> "%,d B".figures(bytes)
    bytes < 1_000_000 -> "%.1f kB".figures(bytes / 1e3)
    else -> "%.2f MB".figures(bytes / 1e6)
}

/** A time: 9.31 µs, 1.42 ms. */
fun duration(nanoseconds: Double): String = when {
    nanoseconds < 1e6 -> "%.2f µs".figures(nanoseconds / 1e3)
    nanoseconds < 1e9 -> "%.2f ms".figures(nanoseconds / 1e6)
    else -> "%.2f s".figures(nanoseconds / 1e9)
}

/** A fraction as a percentage: 98.3 %. */
fun percent(share: Double): String = "%.1f %%".figures(100 * share)
