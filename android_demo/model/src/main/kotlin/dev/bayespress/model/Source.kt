package dev.bayespress.model

/**
 * The origin of a bundle, for the question whether to open it: the name of the file, its content provider, and the app that
 * sent it; null if unknown. All three are untrusted text.
 */
class Source(private val name: String?, private val provider: String?, private val sender: String?) {
    /** A description on one line. */
    fun words(): String = listOfNotNull(
        "“${name?.let(::shown)?.takeIf { it.isNotBlank() } ?: "a file without a name"}”",
        provider?.let { "stored by ${shown(it)}" },
        sender?.let { "sent by ${shown(it)}" } ?: "chosen in this app",
    ).joinToString(", ")

    companion object {
        private const val LONGEST = 80

        /** Text with "?" for every invisible or control character (line ends, marks of direction), cut to one line. */
        fun shown(text: String): String {
            val plain = text.map { if (it.isISOControl() || it.category in HIDDEN) '?' else it }.joinToString("")
            return if (plain.length > LONGEST) plain.take(LONGEST / 2) + "…" + plain.takeLast(LONGEST / 2) else plain
        }

        private val HIDDEN = setOf(
            CharCategory.FORMAT, CharCategory.SURROGATE, CharCategory.PRIVATE_USE, CharCategory.UNASSIGNED,
            CharCategory.LINE_SEPARATOR, CharCategory.PARAGRAPH_SEPARATOR,
        )
    }
}
