package dev.bayespress.model

import java.io.File
import kotlin.math.abs

/** The result of one check; [detail] is the measured result, the failure, or the reason for skipping. */
class Check(val name: String, val outcome: Outcome, val detail: String)

/** A check is skipped if this device cannot execute it. */
enum class Outcome { PASSED, FAILED, SKIPPED }

/** Checks that a bundle is unchanged and computes PyTorch's outputs. The checks are independent, and none throws. */
class Verification(private val model: BundleModel) {
    /** Execute all checks; [done] is called after each. */
    fun run(done: (Check) -> Unit = {}): List<Check> = listOfNotNull(model.bundle.signature).onEach(done) + listOf(
        "Files" to ::files,
        "Decoded weights" to ::weights,
        "Golden vectors, processor" to { golden(Processor.CPU) },
        "Golden vectors, GPU" to { golden(Processor.GPU) },
    ).map { (name, check) -> attempt(name, check).also(done) }

    private fun attempt(name: String, check: () -> Pair<Outcome, String>): Check = try {
        val (outcome, detail) = check()
        Check(name, outcome, detail)
    } catch (error: BundleException) {
        Check(name, Outcome.FAILED, error.message.orEmpty())
    }

    private fun files(): Pair<Outcome, String> {
        val files = model.manifest.files
        files.keys.forEach(model.bundle::read)
        val present = model.bundle.folder.walk().filter(File::isFile).map { it.relativeTo(model.bundle.folder).path }
        (present.toSet() - files.keys - setOf(Manifest.FILE, "manifest.sig")).firstOrNull()?.let {
            throw BundleException("$it is not in the manifest; fetch the bundle again.")
        }
        return Outcome.PASSED to "${files.size} files as built"
    }

    private fun weights(): Pair<Outcome, String> {
        val names = model.weights.names()
        val expected = model.manifest.decoded
        if (names.toSet() != expected.keys) throw BundleException("The weights and the manifest have different tensors; build the bundle again.")
        names.forEachIndexed { index, name ->
            if (model.weights.digest(index) != expected[name]) {
                throw BundleException("Tensor $name decodes to other values on this device; please report the device.")
            }
        }
        return Outcome.PASSED to "${names.size} tensors decode to exactly the builder's values"
    }

    private fun golden(on: Processor): Pair<Outcome, String> {
        val network = model.network
        val gpu = network.gpu
        if (on == Processor.GPU && gpu == null) return Outcome.SKIPPED to "no GPU is in use"
        val half = on == Processor.GPU && gpu?.precision == "float16"
        val expected = model.bundle.goldenOutputs()
        val tolerances = model.bundle.goldenTolerances(half)
        // The output with the largest ratio of difference to allowed difference, as in deploy/verify/tolerance.py.
        var largest = 0f
        var worst = 0f
        model.bundle.goldenInputs().forEachIndexed { example, input ->
            val outputs = network.run(input, on)
            for (index in outputs.indices) {
                val reference = expected[example][index]
                val difference = abs(outputs[index] - reference)
                val allowed = tolerances[example][index]
                if (!(difference <= allowed)) { // NaN fails too
                    throw BundleException(
                        "Output $index of golden input $example differs by %.2g from PyTorch's %.6g; at most %.2g is allowed."
                            .figures(difference, reference, allowed),
                    )
                }
                if (difference > worst * allowed) {
                    worst = difference / allowed
                    largest = difference
                }
            }
        }
        val precision = if (half) " in float16" else ""
        return Outcome.PASSED to "%d examples$precision, difference %.1e, %.0f %% of the allowed difference"
            .figures(expected.size, largest, 100 * worst)
    }
}
