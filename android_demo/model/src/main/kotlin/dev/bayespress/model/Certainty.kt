package dev.bayespress.model

import kotlin.math.exp
import kotlin.math.ln

/** What a network says of one input: a probability for each class, and how sure it is. */
class Prediction(val labels: List<String>, val probabilities: DoubleArray) {
    /** The likeliest class. */
    val best: Int = probabilities.indices.maxByOrNull { probabilities[it] } ?: 0

    /** Its name. */
    val label: String get() = labels.getOrElse(best) { best.toString() }

    /**
     * 1 for one class alone, 0 where all are as likely: 1 - H(p) / ln(classes), H being the entropy in nats.
     *
     * Of the posterior's means alone: a bundle carries no variances, so there are no networks to sample.
     */
    val certainty: Double = run {
        val entropy = probabilities.sumOf { if (it > 0) -it * ln(it) else 0.0 }
        if (probabilities.size < 2) 1.0 else (1 - entropy / ln(probabilities.size.toDouble())).coerceIn(0.0, 1.0)
    }

    companion object {
        /** From logits, which networks give. */
        fun of(logits: FloatArray, labels: List<String>): Prediction {
            val largest = logits.maxOrNull() ?: 0f
            val powers = DoubleArray(logits.size) { exp((logits[it] - largest).toDouble()) }
            val sum = powers.sum()
            return Prediction(labels, DoubleArray(logits.size) { powers[it] / sum })
        }
    }
}
