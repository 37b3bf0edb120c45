package dev.bayespress.model

/** The role of a colour. The light and the dark theme each define a colour for every role. */
enum class Tone { INK, MUTED, TRACK, ACCENT, SERIES_1, SERIES_2, SERIES_3, SERIES_4, SERIES_5 }

/** The part of a text at [Label.x]. */
enum class Anchor { START, MIDDLE, END }

/** A part of a chart. Lengths are in density-independent pixels; y increases downwards. */
sealed interface Shape

/** A filled rectangle. */
data class Box(val x: Float, val y: Float, val width: Float, val height: Float, val tone: Tone) : Shape

/** One line of text on the baseline [y]. */
data class Label(val x: Float, val y: Float, val size: Float, val text: String, val tone: Tone, val anchor: Anchor) : Shape

/** A chart with a description in one sentence for screen readers. */
class Scene(val width: Float, val height: Float, val shapes: List<Shape>, val description: String)
