package dev.bayespress.model

/**
 * How large the digits of a data set are in their pictures of 28 by 28 pixels, and how thick, so that a finger's drawing
 * becomes a picture like those: the side of the box that they fill, and half of a stroke's width, in pixels.
 */
class Hand(val box: Float, val radius: Float) {
    companion object {
        /** MNIST's: digits were scaled to a box of 20 (LeCun, Cortes and Burges). */
        val MNIST = Hand(20f, 1.1f)

        private const val MNIST_INK = 102.5f // sum of a picture's pixels, on the average over the training set
        private const val PAPER = 0.25f // what is darker is no ink
        private val RADII = 0.7f..2.5f

        /** That of a bundle's golden inputs. Ink is a stroke's length, which goes with the box, times its width. */
        fun of(pictures: List<FloatArray>, preprocessing: Preprocessing): Hand {
            val boxes = mutableListOf<Float>()
            var ink = 0f
            for (picture in pictures) {
                val pixels = FloatArray(picture.size) { picture[it] * preprocessing.std + preprocessing.mean }
                val places = pixels.indices.filter { pixels[it] > PAPER }
                if (places.isEmpty()) continue
                val rows = places.maxOf { it / Digit.SIDE } - places.minOf { it / Digit.SIDE }
                val columns = places.maxOf { it % Digit.SIDE } - places.minOf { it % Digit.SIDE }
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
