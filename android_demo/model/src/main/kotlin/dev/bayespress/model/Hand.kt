package dev.bayespress.model

/**
 * The size and thickness of a data set's digits in pictures of 28 by 28 pixels, so that a drawing can be converted to the
 * same style. [box] is the side of the box that a digit fills, [radius] half the width of a stroke, both in pixels.
 */
class Hand(val box: Float, val radius: Float) {
    companion object {
        /** The style of MNIST: digits were scaled to a box of 20 pixels (LeCun, Cortes and Burges). */
        val MNIST = Hand(20f, 1.1f)

        private const val MNIST_INK = 102.5f // average over the training set of the sum of a picture's pixels
        private const val PAPER = 0.25f // a darker pixel is background
        private val RADII = 0.7f..2.5f

        /**
         * The style of a bundle's golden inputs. The sum of a picture's pixels is proportional to the length of the strokes,
         * and so to [box], times their width.
         */
        fun of(pictures: List<FloatArray>, preprocessing: Preprocessing): Hand {
            val boxes = mutableListOf<Float>()
            var ink = 0f
            for (picture in pictures) {
                val pixels = FloatArray(picture.size) { picture[it] * preprocessing.std + preprocessing.mean }
                val strokes = pixels.indices.filter { pixels[it] > PAPER }
                if (strokes.isEmpty()) continue
                val rows = strokes.maxOf { it / Digit.SIDE } - strokes.minOf { it / Digit.SIDE }
                val columns = strokes.maxOf { it % Digit.SIDE } - strokes.minOf { it % Digit.SIDE }
                boxes += maxOf(rows, columns) + 1f
                ink += pixels.sum()
            }
            if (boxes.isEmpty()) return MNIST
            val box = boxes.sorted()[boxes.size / 2].coerceIn(Digit.SIDE / 2f, Digit.SIDE.toFloat())
            val radius = MNIST.radius * (ink / boxes.size / MNIST_INK) * (MNIST.box / box)
            return Hand(box, radius.coerceIn(RADII))
        }
    }
}
