package dev.bayespress.demo

import android.content.Context
import dev.bayespress.model.Tone

/** The colours of a context's theme, light or dark. */
class Palette(private val context: Context) {
    /** A colour for [tone]. */
    fun of(tone: Tone): Int = context.getColor(
        when (tone) {
            Tone.INK -> R.color.ink
            Tone.MUTED -> R.color.muted
            Tone.TRACK -> R.color.track
            Tone.ACCENT -> R.color.accent
            Tone.SERIES_1 -> R.color.series_1
            Tone.SERIES_2 -> R.color.series_2
            Tone.SERIES_3 -> R.color.series_3
            Tone.SERIES_4 -> R.color.series_4
            Tone.SERIES_5 -> R.color.series_5
        },
    )
}
