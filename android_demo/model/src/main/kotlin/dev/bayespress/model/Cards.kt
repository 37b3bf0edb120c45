package dev.bayespress.model

/**
 * The texts of the screens. Each property is the text of the view with the same name: [ModelCard.modelRatio] is the text
 * of @id/model_ratio.
 */
class ModelCard(model: BundleModel, facts: List<TensorFacts>) {
    private val manifest = model.manifest
    val modelName: String = manifest.name
    val modelOriginal: String = size(manifest.originalBytes)
    val modelPacked: String = size(manifest.packedBytes)
    val modelRatio: String = "%,.0f×".figures(manifest.originalBytes.toDouble() / manifest.packedBytes)
    val modelStored: String = facts.sumOf { it.stored }.let { stored ->
        "%,d of %,d (%s)".figures(stored, manifest.originalParameters, percent(stored.toDouble() / manifest.originalParameters))
    }
    val modelError: String = manifest.steps.lastOrNull { it.metric != null }?.metric?.let { figure ->
        val (name, unit) = manifest.measuredBy.run { name to unit }
        val text = if (unit == "%") "%.2f %%".figures(figure) else "$name ${"%.4g".figures(figure)} $unit".trim()
        text + (manifest.data?.let { " on $it" } ?: "")
    } ?: "not measured"
    val modelMemory: String = size(model.network.workspaceBytes)
    val modelTarget: String = model.target.name
}

/** The recognised class, or a hint in [drawHint] if there is no prediction. */
class DrawCard(manifest: Manifest?, prediction: Prediction?) {
    val drawHint: String = when {
        manifest == null -> "No bundle is loaded."
        !Digit.fits(manifest) -> "${manifest.name} does not take pictures of ${Digit.SIDE} by ${Digit.SIDE} pixels; see the other screens."
        prediction == null -> "Draw a digit above."
        else -> "Certainty ${percent(prediction.certainty)}, from the entropy of the classes."
    }
    val drawAnswer: String = prediction?.label ?: ""
}

/** Quantiles of the runs on the processor and on the GPU. */
class BenchmarkCard(results: List<BenchmarkResult>, gpu: Gpu?, noGpu: String?) {
    val benchmarkDevice: String = if (gpu != null) "${gpu.name}, ${gpu.precision}" else "No GPU: ${noGpu ?: "not opened yet"}"
    val benchmarkSummary: String = results.joinToString("\n\n", transform = ::summary)

    val benchmarkLayers: String = results.lastOrNull()?.kernels.orEmpty().joinToString("\n") { kernel ->
        val (median, p90, p99) = listOf(0.5, 0.9, 0.99).map { duration(kernel.quantile(it).toDouble()) }
        "${kernel.kernel.substringBefore(':')}: $median, p90 $p90, p99 $p99"
    }

    private fun summary(result: BenchmarkResult): String {
        val processor = if (result.settings.on == Processor.GPU) "GPU" else "Processor"
        val lines = listOf(
            "$processor, ${result.sorted.size} runs",
            "median ${duration(result.median.toDouble())}",
            "p90 ${duration(result.quantile(0.9).toDouble())}, p99 ${duration(result.quantile(0.99).toDouble())}",
            "first run ${duration(result.first.toDouble())}",
        )
        val batch = result.batch?.let {
            "${result.batchExamples} inputs on ${result.settings.threads} threads: ${duration(it.toDouble())}"
        }
        return (lines + listOfNotNull(batch)).joinToString("\n")
    }
}

/** The verdict and the list of checks. */
class VerifyCard(checks: List<Check>) {
    val verifyVerdict: String = when {
        checks.isEmpty() -> "Not verified yet."
        checks.any { it.outcome == Outcome.FAILED } -> "A check failed; do not use this bundle."
        else -> "The bundle is unchanged."
    }
    val verifyChecks: String = checks.joinToString("\n\n") { "${MARKS.getValue(it.outcome)} ${it.name}\n${it.detail}" }

    private companion object {
        val MARKS = mapOf(Outcome.PASSED to "✓", Outcome.FAILED to "✗", Outcome.SKIPPED to "–")
    }
}
