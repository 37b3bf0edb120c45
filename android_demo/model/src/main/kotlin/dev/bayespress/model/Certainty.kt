package dev.bayespress.model

import kotlin.math.exp
import kotlin.math.ln

/** The prediction for one input: a probability for each class, and the certainty. */
class Prediction(val labels: List<String>, val probabilities: DoubleArray) {
    /** The most likely class. */
    val best: Int = probabilities.indices.maxByOrNull { probabilities[it] } ?: 0

    /** The name of the most likely class. */
    val label: String get() = labels.getOrElse(best) { best.toString() }

    /**
     * 1 - H(p) / ln(classes), where H is the entropy in nats: 1 if one class has probability 1, 0 if all classes are equally
     * likely.
     *
     * It uses only the posterior means: a bundle contains no variances, so no networks can be sampled.
     */
    val certainty: Double = run {
        val entropy = probabilities.sumOf { if (it > 0) -it * ln(it) else 0.0 }
        if (probabilities.size < 2) 1.0 else (1 - entropy / ln(probabilities.size.toDouble())).coerceIn(0.0, 1.0)
    }

    companion object {
        /** The prediction for the outputs of a network, which are logits. */
        fun of(logits: FloatArray, labels: List<String>): Prediction {
            val largest = logits.maxOrNull() ?: 0f
            val powers = DoubleArray(logits.size) { exp((logits[it] - largest).toDouble()) }
            val sum = powers.sum()
            return Prediction(labels, DoubleArray(logits.size) { powers[it] / sum })
        }
    }
}
