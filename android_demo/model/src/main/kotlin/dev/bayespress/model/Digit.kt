package dev.bayespress.model

import kotlin.math.hypot
import kotlin.math.max
import kotlin.math.min

/** A point of a drawing in any unit. */
class Point(val x: Float, val y: Float)

/**
 * A drawn digit, converted to a picture like those of MNIST (LeCun, Cortes and Burges): 28 by 28 pixels, white on black with
 * soft edges, the centre of mass in the middle, and size and thickness of a [Hand].
 */
class Digit(private val strokes: List<List<Point>>) {
    /** Whether the drawing has no point. */
    val isEmpty: Boolean get() = strokes.all { it.isEmpty() }

    /** Brightness of the 28 by 28 pixels in row order, 0 to 1. */
    fun pixels(hand: Hand = Hand.MNIST): FloatArray {
        if (isEmpty) return FloatArray(SIDE * SIDE)
        val points = strokes.flatten()
        val left = points.minOf { it.x }
        val right = points.maxOf { it.x }
        val top = points.minOf { it.y }
        val bottom = points.maxOf { it.y }
        // A dot has no extent and is not enlarged.
        val scale = (hand.box - 2 * hand.radius) / max(max(right - left, bottom - top), 1e-3f)
        val middle = Point((left + right) / 2, (top + bottom) / 2)
        val centred = strokes.map { stroke ->
            stroke.map { Point((it.x - middle.x) * scale + SIDE / 2f, (it.y - middle.y) * scale + SIDE / 2f) }
        }
        val mass = massOf(rasterised(centred, hand.radius))
        val shifted = centred.map { stroke ->
            stroke.map { Point(it.x + SIDE / 2f - mass.x, it.y + SIDE / 2f - mass.y) }
        }
        return rasterised(shifted, hand.radius)
    }

    /** The network's input. White is the largest raw value, [Preprocessing.scale]. */
    fun input(preprocessing: Preprocessing, hand: Hand = Hand.MNIST): FloatArray {
        val pixels = pixels(hand)
        return FloatArray(pixels.size) { (pixels[it] - preprocessing.mean) / preprocessing.std }
    }

    private fun rasterised(lines: List<List<Point>>, radius: Float) = FloatArray(SIDE * SIDE) { index ->
        val x = index % SIDE + 0.5f
        val y = index / SIDE + 0.5f
        val distance = lines.filter { it.isNotEmpty() }.minOf { line -> distance(x, y, line) }
        (radius + 0.5f - distance).coerceIn(0f, 1f)
    }

    private fun distance(x: Float, y: Float, line: List<Point>): Float {
        if (line.size == 1) return hypot(x - line[0].x, y - line[0].y)
        return line.zipWithNext { a, b ->
            val length = (b.x - a.x) * (b.x - a.x) + (b.y - a.y) * (b.y - a.y)
            val projection = if (length == 0f) 0f else ((x - a.x) * (b.x - a.x) + (y - a.y) * (b.y - a.y)) / length
            val t = min(1f, max(0f, projection))
            hypot(x - (a.x + t * (b.x - a.x)), y - (a.y + t * (b.y - a.y)))
        }.min()
    }

    private fun massOf(pixels: FloatArray): Point {
        val total = pixels.sum()
        val x = pixels.indices.sumOf { (pixels[it] * (it % SIDE + 0.5f)).toDouble() } / total
        val y = pixels.indices.sumOf { (pixels[it] * (it / SIDE + 0.5f)).toDouble() } / total
        return Point(x.toFloat(), y.toFloat())
    }

    companion object {
        /** Number of pixels in a row and in a column. */
        const val SIDE = 28

        /** Whether a network classifies pictures of this size. */
        fun fits(manifest: Manifest): Boolean = manifest.inputSize == SIDE * SIDE && manifest.outputSize > 1
    }
}
