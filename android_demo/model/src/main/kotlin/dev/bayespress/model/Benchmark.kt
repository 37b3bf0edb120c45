package dev.bayespress.model

import kotlin.math.ceil
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonArray
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonArray

/** A measurement: [runs] timed runs after [warmup] untimed ones, and a batch on [threads] threads if [threads] > 1. */
class BenchmarkSettings(val on: Processor, val threads: Int = 1, val warmup: Int = 50, val runs: Int = 1000)

/** The times of one kernel in many runs, in nanoseconds; [sorted] is ascending. */
class KernelTime(val kernel: String, private val sorted: LongArray) {
    val mean: Double get() = sorted.average()

    /** See [BenchmarkResult.quantile]. */
    fun quantile(part: Double): Long = quantileOf(sorted, part)
}

private fun quantileOf(sorted: LongArray, part: Double): Long =
    sorted[(ceil(part * sorted.size).toInt() - 1).coerceIn(0, sorted.lastIndex)]

/**
 * The result of one measurement, in nanoseconds: the [first] run, all timed runs in ascending order, and the median time
 * of a batch of [batchExamples] examples on several threads; [batch] is null if none was measured.
 */
class BenchmarkResult(
    val settings: BenchmarkSettings,
    val first: Long,
    val sorted: LongArray,
    val kernels: List<KernelTime>,
    val batch: Long?,
    val batchExamples: Int,
) {
    /** The [part] quantile of the runs: the smallest time that at least this fraction of the runs does not exceed. */
    fun quantile(part: Double): Long = quantileOf(sorted, part)

    val median: Long get() = quantile(0.5)
}

/** Thrown by [Benchmark.run] if its progress function returns false. */
class Stopped : Exception("stopped")

/** Measures a network on this device. */
class Benchmark(private val model: BundleModel) {
    /**
     * Measure on the first golden input. [progress] receives the completed fraction, 0 to 1, and returns whether to continue.
     *
     * Throws [BundleException], or [Stopped].
     */
    fun run(settings: BenchmarkSettings, progress: (Double) -> Boolean = { true }): BenchmarkResult {
        val network = model.network
        val inputs = model.bundle.realInputs()
        val input = inputs.first()
        val output = FloatArray(network.outputSize)
        val first = network.timed(input, output, settings.on, null)
        repeat(settings.warmup) { network.timed(input, output, settings.on, null) }
        val times = LongArray(settings.runs) { index ->
            if (index % PROGRESS == 0 && !progress(0.5 * index / settings.runs)) throw Stopped()
            network.timed(input, output, settings.on, null)
        }
        val names = network.kernels(settings.on)
        val kernel = LongArray(names.size)
        val rounds = minOf(settings.runs, MOST_BY_KERNEL)
        val byKernel = Array(names.size) { LongArray(rounds) }
        repeat(rounds) { index ->
            if (index % PROGRESS == 0 && !progress(0.5 + 0.5 * index / rounds)) throw Stopped()
            network.timed(input, output, settings.on, kernel)
            kernel.forEachIndexed { number, nanoseconds -> byKernel[number][index] = nanoseconds }
        }
        val batch = if (settings.threads > 1 && settings.on == Processor.CPU) batch(inputs, settings.threads) else null
        progress(1.0)
        times.sort()
        val kernels = names.mapIndexed { number, name -> KernelTime(name, byKernel[number].apply { sort() }) }
        return BenchmarkResult(settings, first, times, kernels, batch, BATCH)
    }

    /** The median time of a batch in nanoseconds; null if its inputs or outputs do not fit into a phone's memory. */
    private fun batch(inputs: List<FloatArray>, threads: Int): Long? {
        val network = model.network
        if (maxOf(network.inputSize, network.outputSize).toLong() * BATCH > Manifest.MOST_NUMBERS) return null
        val all = FloatArray(BATCH * network.inputSize)
        repeat(BATCH) { inputs[it % inputs.size].copyInto(all, it * network.inputSize) }
        val outputs = FloatArray(BATCH * network.outputSize)
        network.runBatch(all, BATCH, outputs, threads)
        return LongArray(BATCH_ROUNDS) { network.runBatch(all, BATCH, outputs, threads) }.sorted()[BATCH_ROUNDS / 2]
    }

    private companion object {
        const val PROGRESS = 50
        const val MOST_BY_KERNEL = 5000 // runs; every time is stored
        const val BATCH = 256
        const val BATCH_ROUNDS = 5
    }
}

/** The measurements of one device as the JSON that `bayespress bench --import` reads (deploy/measure/report.py). */
class BenchmarkReport(private val model: BundleModel, private val device: String, private val cpu: String) {
    fun json(results: List<BenchmarkResult>): String {
        val report = buildJsonObject {
            put("name", model.manifest.name)
            put("cpu", cpu)
            putJsonArray("devices") { results.forEach { add(deviceOf(it)) } }
        }
        return PRETTY.encodeToString(JsonObject.serializer(), report)
    }

    private fun deviceOf(result: BenchmarkResult) = buildJsonObject {
        val gpu = model.network.gpu?.takeIf { result.settings.on == Processor.GPU }
        put("device", if (gpu == null) device else "$device, GPU")
        put("description", if (gpu == null) "Android app" else "Android app, ${gpu.name} in ${gpu.precision}")
        put("emulated", false)
        put("cpu", cpu)
        put("governor", null as String?)
        put("temperature_c", null as String?)
        put("peak_kb", null as String?)
        put("workspace_bytes", model.network.workspaceBytes)
        put("first_us", result.first / 1e3)
        put("runs", result.sorted.size)
        put("min_us", result.sorted.first() / 1e3)
        put("median_us", result.median / 1e3)
        put("p90_us", result.quantile(0.9) / 1e3)
        put("p99_us", result.quantile(0.99) / 1e3)
        put("layers", buildJsonArray {
            result.kernels.forEach { time ->
                add(JsonObject(mapOf("kernel" to JsonPrimitive(time.kernel), "mean_us" to JsonPrimitive(time.mean / 1e3))))
            }
        })
        put("batches", buildJsonArray {
            result.batch?.let { nanoseconds ->
                add(buildJsonObject {
                    put("threads", result.settings.threads)
                    put("examples", result.batchExamples)
                    put("median_ms", nanoseconds / 1e6)
                })
            }
        })
    }

    private companion object {
        val PRETTY = Json { prettyPrint = true }
    }
}
