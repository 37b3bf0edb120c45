package dev.bayespress.model

/**
 * Where a bundle comes from, for the question whether to open it: the file's name as its provider gives it, the provider,
 * and the app that handed it over, as far as they are known. All are strangers' texts.
 */
class Source(private val name: String?, private val provider: String?, private val sender: String?) {
    /** In words, on one line. */
    fun words(): String = listOfNotNull(
        "“${name?.let(::shown)?.takeIf { it.isNotBlank() } ?: "a file without a name"}”",
        provider?.let { "kept by ${shown(it)}" },
        sender?.let { "handed over by ${shown(it)}" } ?: "chosen here",
    ).joinToString(", ")

    companion object {
        private const val LONGEST = 80

        /** Text without what would be obeyed and not shown (line ends, marks of direction), and no longer than a line. */
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
