package dev.bayespress.model

import kotlin.math.max

/** The charts of the screens with the given [width]; see [Shape] for the units. */
class Charts(private val width: Float) {
    /** A bar for each class. */
    fun probabilities(prediction: Prediction): Scene {
        val rows = prediction.probabilities.mapIndexed { index, share ->
            val label = prediction.labels.getOrElse(index) { index.toString() }
            Row(label, share, percent(share), if (index == prediction.best) Tone.ACCENT else Tone.SERIES_1)
        }
        val description = "${prediction.label} at ${percent(prediction.probabilities[prediction.best])}"
        return bars(rows, 1.0, SHORT_LABEL, "Class probabilities; the most likely class is $description.")
    }

    /** A bar for each kernel's median. */
    fun kernels(result: BenchmarkResult): Scene {
        val medians = result.kernels.map { it to it.quantile(0.5).toDouble() }
        val rows = medians.map { (kernel, time) -> Row(kernel.kernel, time, duration(time), Tone.ACCENT) }
        val description = medians.maxByOrNull { it.second }?.let { (slowest, time) ->
            " The slowest is ${slowest.kernel} with ${duration(time)}."
        }.orEmpty()
        return bars(rows, rows.maxOfOrNull { it.value } ?: 1.0, LONG_LABEL, "Median time of each kernel.$description")
    }

    /** The size of each part of the file: one bar with a segment and a label for each part. */
    fun bytes(facts: List<TensorFacts>): Scene {
        val shapes = mutableListOf<Shape>()
        val parts = PARTS.map { part -> part to facts.sumOf { fact -> part.of.sumOf(fact::bitsOf) } }
        val all = max(1L, parts.sumOf { it.second })
        var x = 0f
        var y = BAR + GAP
        for ((part, bits) in parts.filter { it.second > 0 }) {
            val length = width * bits / all
            shapes += Box(x, 0f, length, BAR, part.tone)
            x += length
            y += LINE
            shapes += Box(0f, y - SWATCH, SWATCH, SWATCH, part.tone)
            shapes += Label(SWATCH + GAP, y, TEXT, part.name, Tone.INK, Anchor.START)
            val share = percent(bits.toDouble() / all)
            shapes += Label(width, y, TEXT, "${size((bits + 7) / 8)}, $share", Tone.MUTED, Anchor.END)
        }
        val description = parts.filter { it.second > 0 }.joinToString { (part, bits) -> "${part.name} ${percent(bits.toDouble() / all)}" }
        return Scene(width, y + GAP, shapes, "Bytes of the file by part: $description.")
    }

    private class Row(val label: String, val value: Double, val text: String, val tone: Tone)

    private fun bars(rows: List<Row>, most: Double, labels: Float, description: String): Scene {
        val from = width * labels
        val length = width - from - VALUE
        val shapes = rows.flatMapIndexed { index, row ->
            val y = index * LINE
            listOf(
                Label(0f, y + BASELINE, TEXT, shortened(row.label, from - GAP), Tone.INK, Anchor.START),
                Box(from, y + GAP / 2, length, THIN, Tone.TRACK),
                Box(from, y + GAP / 2, (length * row.value / max(most, 1e-12)).toFloat(), THIN, row.tone),
                Label(width, y + BASELINE, TEXT, row.text, Tone.MUTED, Anchor.END),
            )
        }
        return Scene(width, rows.size * LINE, shapes, description)
    }

    /** The beginning of a text that fits into [available] pixels, estimated from the average width of a letter. */
    private fun shortened(text: String, available: Float): String {
        val letters = (available / (TEXT * LETTER)).toInt()
        return if (text.length <= letters) text else text.take(max(1, letters - 1)) + "…"
    }

    private class Part(val name: String, val tone: Tone, vararg val of: BitUsage)

    private companion object {
        const val TEXT = 13f
        const val LETTER = 0.56f // average width of a letter divided by the size of the text
        const val LINE = 24f
        const val BASELINE = 15f
        const val GAP = 8f
        const val BAR = 28f
        const val THIN = 14f
        const val SWATCH = 11f
        const val VALUE = 74f // width for the value after its bar
        const val SHORT_LABEL = 0.12f
        const val LONG_LABEL = 0.45f
        val PARTS = listOf(
            Part("values", Tone.ACCENT, BitUsage.VALUES),
            Part("positions", Tone.SERIES_2, BitUsage.ROWS, BitUsage.INDICES, BitUsage.MASKS),
            Part("code tables", Tone.SERIES_3, BitUsage.TABLES),
            Part("value maps", Tone.SERIES_4, BitUsage.MAP),
            Part("names and shapes", Tone.SERIES_5, BitUsage.FRAME, BitUsage.NAME, BitUsage.SHAPE, BitUsage.PADDING),
        )
    }
}
