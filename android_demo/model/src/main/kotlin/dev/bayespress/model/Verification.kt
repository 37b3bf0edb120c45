package dev.bayespress.model

import java.io.File
import kotlin.math.abs
import kotlin.math.max

/** What became of one check, in one sentence. */
class Check(val name: String, val outcome: Outcome, val detail: String)

/** Skipped is what cannot be checked here. */
enum class Outcome { PASSED, FAILED, SKIPPED }

/** Whether a bundle is what was built and computes what PyTorch computed; each check by itself, none throws. */
class Verification(private val model: BundleModel) {
    /** All checks, with [done] called after each. */
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
        if (names.toSet() != expected.keys) throw BundleException("The weights have other tensors than the manifest.")
        names.forEachIndexed { index, name ->
            if (model.weights.digest(index) != expected[name]) {
                throw BundleException("Tensor $name decodes to other values here; tell us of this device.")
            }
        }
        return Outcome.PASSED to "${names.size} tensors decode to the builder's values, to the last bit"
    }

    private fun golden(on: Processor): Pair<Outcome, String> {
        val network = model.network
        val gpu = network.gpu
        if (on == Processor.GPU && gpu == null) return Outcome.SKIPPED to "no GPU is in use"
        val half = on == Processor.GPU && gpu?.precision == "float16"
        val expected = model.bundle.goldenOutputs()
        var largest = 0f
        var scale = 0f
        model.bundle.goldenInputs().zip(expected) { input, wanted ->
            network.run(input, on).zip(wanted) { is_, was ->
                val difference = abs(is_ - was)
                largest = if (difference.isNaN()) Float.POSITIVE_INFINITY else max(largest, difference)
                scale = max(scale, abs(was))
            }
        }
        val allowed = if (half) HALF_TOLERANCE * scale else TOLERANCE
        val precision = if (half) " in float16" else ""
        if (largest > allowed) {
            throw BundleException("An output differs by %.2g from PyTorch's; at most %.2g is allowed.".figures(largest, allowed))
        }
        return Outcome.PASSED to "%d examples$precision, largest difference %.1e".figures(expected.size, largest)
    }

    private companion object {
        const val TOLERANCE = 1e-4f // as in deploy/verify_bundle.py
        const val HALF_TOLERANCE = 1e-2f
    }
}
