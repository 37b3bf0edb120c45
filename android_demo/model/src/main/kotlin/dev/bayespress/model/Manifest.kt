package dev.bayespress.model

import java.security.MessageDigest
import kotlinx.serialization.SerializationException
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.double
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long

/** One file of a bundle. [sha256] has lower-case hexadecimal digits. */
class FileEntry(val path: String, val size: Long, val sha256: String)

/** One target of a bundle. [library] is null if the target has no shared library. */
class TargetEntry(
    val name: String,
    val machine: String,
    val library: String?,
    val android: Boolean,
    val gpu: Boolean,
    val half: Boolean,
)

/** The conversion of raw values, 0 to [scale], to the network's input: (raw / scale - mean) / std. */
class Preprocessing(val scale: Float, val mean: Float, val std: Float)

/** The metric of a network, for example the error in %; [unit] is empty for a pure number. */
class Metric(val name: String, val unit: String)

/** The network after one step of compression; [bytes] and [metric] are null if they were not measured. */
class Step(val name: String, val metric: Double?, val nonzero: Long, val parameters: Long, val bytes: Long?)

/** `manifest.json` of a bundle, see deploy/bundle/manifest.py. [decoded] is the CRC-32 of each tensor's float32 values. */
class Manifest private constructor(json: JsonObject) {
    val name: String = json.text("name")
    val inputShape: IntArray = json.integers("input_shape")
    val outputShape: IntArray = json.integers("output_shape")
    val preprocessing: Preprocessing = json.getValue("preprocessing").jsonObject.let {
        Preprocessing(it.number("scale").toFloat(), it.number("mean").toFloat(), it.number("std").toFloat())
    }
    val labels: List<String> = json.list("labels").map { it.jsonPrimitive.content }
    val data: String? = json.getValue("data").takeIf { it !is JsonNull }?.jsonPrimitive?.content
    val originalParameters: Long = json.count("original_parameters")
    val originalBytes: Long = json.count("original_bytes")
    val packedBytes: Long = json.count("packed_bytes")
    val steps: List<Step> = json.list("steps").map { step(it.jsonObject) }
    val measuredBy: Metric = json.getValue("measured_by").jsonObject.let { Metric(it.text("name"), it.text("unit")) }
    val goldenExamples: Int = json.getValue("golden_examples").jsonPrimitive.int
    /** How many golden inputs, from the first, are examples of the data; zeros, extreme values and noise follow. */
    val realExamples: Int = json["real_examples"]?.takeIf { it !is JsonNull }?.jsonPrimitive?.int ?: goldenExamples
    val decoded: Map<String, Long> = json.getValue("decoded").jsonObject.mapValues { it.value.jsonPrimitive.long }
    val targets: List<TargetEntry> = json.getValue("targets").jsonObject.map { (name, it) -> target(name, it.jsonObject) }
    val files: Map<String, FileEntry> = json.list("files").map { file(it.jsonObject) }.associateBy { it.path }
    val digest: String = json.text("digest")

    init {
        require(goldenExamples > 0) { "it has $goldenExamples golden examples" }
        require(realExamples in 1..goldenExamples) { "it has $realExamples real of $goldenExamples golden examples" }
        require((inputShape + outputShape).all { it > 0 }) { "a shape has an axis of extent 0" }
        require(listOf(inputShape, outputShape).all { numbers(it) <= MOST_NUMBERS }) { "a shape has too many elements" }
        require(files.size == json.list("files").size && files.size <= MOST_FILES) { "it names a file twice, or too many" }
        require(files.values.all { it.size in 0..LARGEST_BUNDLE }) { "a file has an impossible size" }
        require(files.values.sumOf { it.size } <= LARGEST_BUNDLE) { "its files are larger than any bundle" }
    }

    /** Number of elements of a shape, as a Long because the product may not fit into an Int. */
    private fun numbers(shape: IntArray): Long =
        shape.fold(1L) { product, axis -> if (product > MOST_NUMBERS) product else product * axis }

    /** Number of floats in one input. */
    val inputSize: Int get() = inputShape.fold(1, Int::times)

    /** Number of floats in one output. */
    val outputSize: Int get() = outputShape.fold(1, Int::times)

    /**
     * The target with a library for [machine], named as by `uname -m`. A target for every GPU is preferred to one for a
     * specific GPU, and that to one without GPU.
     */
    fun targetFor(machine: String, android: Boolean): TargetEntry? =
        targets.filter { it.machine == machine && it.android == android && it.library != null }
            .maxByOrNull { if (!it.gpu) 0 else if (it.name.startsWith("opencl")) 2 else 1 }

    companion object {
        const val FILE = "manifest.json"
        const val WEIGHTS = "weights.bpz"
        const val LARGEST_BYTES = 4L shl 20
        const val MOST_FILES = 4096
        const val LARGEST_BUNDLE = 512L shl 20 // bytes of all files together
        const val MOST_NUMBERS = 1L shl 26 // floats of an input or an output
        private const val VERSION = 2
        private val DIGEST = Regex("\"digest\": \"([0-9a-f]{64})\"\n\\}\n$")

        /** Parse a manifest. Throws [BundleException] unless it has this version and matches its own digest. */
        fun parse(bytes: ByteArray): Manifest {
            val text = bytes.toString(Charsets.UTF_8)
            val digest = DIGEST.find(text)
                ?: throw BundleException("$FILE is damaged: it does not end in its digest; fetch the bundle again.")
            val blank = text.substring(0, digest.range.first) + "\"digest\": \"\"\n}\n"
            if (sha256(blank.toByteArray()) != digest.groupValues[1]) {
                throw BundleException("$FILE was changed after it was built; fetch the bundle again.")
            }
            try {
                val json = Json.parseToJsonElement(text).jsonObject
                val version = json.getValue("version").jsonPrimitive.int
                if (version != VERSION) {
                    throw BundleException("The bundle has version $version, and this app reads version $VERSION; update the app.")
                }
                return Manifest(json)
            } catch (error: SerializationException) {
                throw damaged(error)
            } catch (error: IllegalArgumentException) { // an element of the wrong type
                throw damaged(error)
            } catch (error: NoSuchElementException) {
                throw damaged(error)
            } catch (error: StackOverflowError) { // a forged file with deeply nested lists
                throw damaged(error)
            }
        }

        private fun damaged(error: Throwable): BundleException {
            val reason = error.message?.lineSequence()?.first() ?: "it is nested too deeply"
            return BundleException("$FILE is damaged ($reason); fetch the bundle again.")
        }

        private fun step(json: JsonObject) = Step(
            json.text("name"),
            json.getValue("metric").takeIf { it !is JsonNull }?.jsonPrimitive?.double,
            json.count("nonzero"),
            json.count("parameters"),
            json.getValue("bytes").takeIf { it !is JsonNull }?.jsonPrimitive?.long,
        )

        private fun target(name: String, json: JsonObject) = TargetEntry(
            name,
            json.text("machine"),
            json.getValue("library").takeIf { it !is JsonNull }?.jsonPrimitive?.content,
            json.getValue("android").jsonPrimitive.boolean,
            json.getValue("gpu").jsonPrimitive.boolean,
            json.getValue("half").jsonPrimitive.boolean,
        )

        private fun file(json: JsonObject) = FileEntry(json.text("path"), json.count("size"), json.text("sha256"))

        private fun JsonObject.text(key: String) = getValue(key).jsonPrimitive.content

        private fun JsonObject.number(key: String) = getValue(key).jsonPrimitive.double

        private fun JsonObject.count(key: String) = getValue(key).jsonPrimitive.long

        private fun JsonObject.list(key: String): JsonArray = getValue(key).jsonArray

        private fun JsonObject.integers(key: String) =
            list(key).map { element: JsonElement -> element.jsonPrimitive.int }.toIntArray()
    }
}

/** SHA-256 in lower-case hexadecimal digits. */
fun sha256(bytes: ByteArray): String = hexadecimal(MessageDigest.getInstance("SHA-256").digest(bytes))

internal fun hexadecimal(bytes: ByteArray): String = bytes.joinToString("") { "%02x".format(it) }
