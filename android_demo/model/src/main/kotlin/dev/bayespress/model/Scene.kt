package dev.bayespress.model

/** What a colour is for; screens have one for each in light and in dark. */
enum class Tone { INK, MUTED, TRACK, ACCENT, SERIES_1, SERIES_2, SERIES_3, SERIES_4, SERIES_5 }

/** Where a text's [Label.x] is. */
enum class Anchor { START, MIDDLE, END }

/** A part of a chart; lengths in density-independent pixels, y downwards. */
sealed interface Shape

/** A filled rectangle. */
data class Box(val x: Float, val y: Float, val width: Float, val height: Float, val tone: Tone) : Shape

/** One line of text on the baseline [y]. */
data class Label(val x: Float, val y: Float, val size: Float, val text: String, val tone: Tone, val anchor: Anchor) : Shape

/** A chart, and what it says in one sentence for those who cannot see it. */
class Scene(val width: Float, val height: Float, val shapes: List<Shape>, val description: String)
