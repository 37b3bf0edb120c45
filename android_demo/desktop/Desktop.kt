package dev.bayespress.desktop

import dev.bayespress.model.Benchmark
import dev.bayespress.model.BenchmarkCard
import dev.bayespress.model.BenchmarkReport
import dev.bayespress.model.BenchmarkSettings
import dev.bayespress.model.Box
import dev.bayespress.model.Bundle
import dev.bayespress.model.BundleException
import dev.bayespress.model.BundleModel
import dev.bayespress.model.Charts
import dev.bayespress.model.Digit
import dev.bayespress.model.DrawCard
import dev.bayespress.model.Label
import dev.bayespress.model.Keyring
import dev.bayespress.model.ModelCard
import dev.bayespress.model.Platform
import dev.bayespress.model.Point
import dev.bayespress.model.Prediction
import dev.bayespress.model.Processor
import dev.bayespress.model.Scene
import dev.bayespress.model.Source
import dev.bayespress.model.State
import dev.bayespress.model.Tone
import dev.bayespress.model.VerifyCard
import dev.bayespress.model.Verification
import dev.bayespress.model.Workbench
import java.io.File
import java.util.concurrent.Executors
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.math.abs
import kotlin.random.Random
import kotlin.system.exitProcess
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObjectBuilder
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonArray
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.put

/**
 * Runs the app's library layer on a desktop JVM, for tests and for the pictures in the README: takes a command with its
 * arguments and prints JSON. For a refused bundle it prints the message on standard error and exits with code 3.
 */
fun main(arguments: Array<String>) {
    val (command, rest) = arguments[0] to arguments.drop(1)
    try {
        println(COMMANDS.getValue(command)(rest))
    } catch (error: BundleException) {
        System.err.println(error.message)
        exitProcess(3)
    }
    exitProcess(0)
}

private val COMMANDS: Map<String, (List<String>) -> JsonElement> = mapOf(
    "verify" to ::verify, "cycles" to ::cycles, "threads" to ::threads, "bench" to ::bench, "digit" to ::digit,
    "recognise" to ::recognise, "misuse" to ::misuse, "fuzz" to ::fuzz, "platform" to ::platform, "signed" to ::signed, "source" to ::source, "workbench" to ::workbench, "screens" to ::screens,
)

private fun opened(path: String, scratch: String): BundleModel {
    val file = File(path)
    val bundle = if (file.isDirectory) Bundle.open(file) else file.inputStream().use { Bundle.unpack(it, File(scratch)) }
    return BundleModel.open(bundle)
}

/** BUNDLE SCRATCH [gpu]: execute all checks. */
private fun verify(arguments: List<String>): JsonElement = opened(arguments[0], arguments[1]).use { model ->
    val noGpu = if ("gpu" in arguments) model.network.openGpu(File(arguments[1], "kernels")) else "not asked for"
    val checks = Verification(model).run()
    buildJsonObject {
        put("target", model.target.name)
        put("no_gpu", noGpu)
        put("precision", model.network.gpu?.precision)
        put("kernels", model.network.kernels(Processor.CPU).size)
        put("checks", buildJsonArray {
            for (it in checks) add(buildJsonObject {
                put("name", it.name)
                put("outcome", it.outcome.name)
                put("detail", it.detail)
            })
        })
    }
}

/** BUNDLE COUNT: load, run and close COUNT times; prints the memory in kB after half of the cycles and after all. */
private fun cycles(arguments: List<String>): JsonElement {
    val bundle = Bundle.open(File(arguments[0]))
    val count = arguments[1].toInt()
    val input = bundle.goldenInputs().first()
    val expected = bundle.goldenOutputs().first()
    val allowed = bundle.goldenTolerances(half = false).first()
    var half = 0L
    repeat(count) { index ->
        BundleModel.open(bundle).use { model ->
            val output = model.network.run(input)
            check(output.indices.all { abs(output[it] - expected[it]) <= allowed[it] }) { "cycle $index computes other outputs" }
        }
        if (index == count / 2) half = resident()
    }
    return buildJsonObject {
        put("half_kb", half)
        put("all_kb", resident())
    }
}

private fun resident(): Long {
    System.gc()
    return File("/proc/self/status").readLines().first { it.startsWith("VmRSS") }.filter(Char::isDigit).toLong()
}

/**
 * BUNDLE COUNT: run four threads, first with one network each, then with a shared one; prints the largest ratio of difference
 * to allowed difference.
 */
private fun threads(arguments: List<String>): JsonElement {
    val bundle = Bundle.open(File(arguments[0]))
    val count = arguments[1].toInt()
    val inputs = bundle.goldenInputs()
    val expected = bundle.goldenOutputs()
    val allowed = bundle.goldenTolerances(half = false)
    val shared = BundleModel.open(bundle)
    val worst = DoubleArray(4)
    (0 until 4).map { number ->
        thread {
            BundleModel.open(bundle).use { own ->
                repeat(count) { index ->
                    val at = (index + number) % inputs.size
                    for (model in listOf(own, shared)) {
                        val output = model.network.run(inputs[at])
                        worst[number] = maxOf(
                            worst[number],
                            output.indices.maxOf { (abs(output[it] - expected[at][it]) / allowed[at][it]).toDouble() },
                        )
                    }
                }
            }
        }
    }.forEach(Thread::join)
    val all = FloatArray(inputs.size * shared.network.inputSize)
    inputs.forEachIndexed { index, input -> input.copyInto(all, index * input.size) }
    val outputs = FloatArray(inputs.size * shared.network.outputSize)
    shared.network.runBatch(all, inputs.size, outputs, 4)
    val batch = outputs.indices.maxOf {
        val (example, index) = it / shared.network.outputSize to it % shared.network.outputSize
        abs(outputs[it] - expected[example][index]) / allowed[example][index]
    }
    shared.close()
    return buildJsonObject {
        put("threads", JsonArray(worst.map(::JsonPrimitive)))
        put("batch", batch)
    }
}

/** BUNDLE SCRATCH OUT [gpu]: measure and write the report. */
private fun bench(arguments: List<String>): JsonElement = opened(arguments[0], arguments[1]).use { model ->
    val gpu = "gpu" in arguments && model.network.openGpu(File(arguments[1], "kernels")) == null
    val shares = mutableListOf<Double>()
    val results = Processor.entries.filter { it == Processor.CPU || gpu }.map { on ->
        Benchmark(model).run(BenchmarkSettings(on, threads = 2, warmup = 5, runs = 200)) { shares.add(it) }
    }
    File(arguments[2]).writeText(BenchmarkReport(model, "Desktop Phone", "a processor").json(results))
    buildJsonObject {
        put("shares_rise", shares.zipWithNext().all { (a, b) -> a <= b || b == 0.0 })
        put("kernels", results.first().kernels.size)
    }
}

/** "x,y x,y; x,y x,y": convert a drawing to a picture. */
private fun digit(arguments: List<String>): JsonElement =
    JsonArray(Digit(strokes(arguments[0])).pixels().map(::JsonPrimitive))

/** BUNDLE DRAWING…: print the size of the bundle's digits, and the prediction for each drawing. */
private fun recognise(arguments: List<String>): JsonElement =
    BundleModel.open(Bundle.open(File(arguments[0]))).use { model ->
        buildJsonArray {
            add(buildJsonObject {
                put("box", model.hand.box)
                put("radius", model.hand.radius)
            })
            for (drawing in arguments.drop(1)) {
                val input = Digit(strokes(drawing)).input(model.manifest.preprocessing, model.hand)
                val prediction = Prediction.of(model.network.run(input), model.manifest.labels)
                add(buildJsonObject {
                    put("label", prediction.label)
                    put("probability", prediction.probabilities[prediction.best])
                    put("certainty", prediction.certainty)
                })
            }
        }
    }

private fun strokes(text: String): List<List<Point>> = text.split(';').filter { it.isNotBlank() }.map { stroke ->
    stroke.trim().split(' ').map { pair -> pair.split(',').let { (x, y) -> Point(x.toFloat(), y.toFloat()) } }
}

/**
 * ZIP SCRATCH COUNT SEED: open archives with a few changed bytes; prints how many were refused. Any exception other than a
 * BundleException ends the program.
 */
private fun fuzz(arguments: List<String>): JsonElement {
    val sound = File(arguments[0]).readBytes()
    val random = Random(arguments[3].toInt())
    var refused = 0
    repeat(arguments[2].toInt()) {
        val bytes = sound.copyOf(if (random.nextInt(4) == 0) random.nextInt(sound.size) else sound.size)
        // Most bytes belong to libraries, so half of the changes are made at the names and sizes of the archive.
        val ends = listOf(0 until bytes.size, maxOf(0, bytes.size - 3000) until bytes.size)
        repeat(1 + random.nextInt(3)) {
            val range = ends[random.nextInt(2)]
            if (!range.isEmpty()) bytes[range.random(random)] = random.nextInt(256).toByte()
        }
        try {
            BundleModel.open(Bundle.unpack(bytes.inputStream(), File(arguments[1]))).close()
        } catch (error: BundleException) {
            refused++
        }
    }
    return buildJsonObject {
        put("refused", refused)
        put("left", File(arguments[1]).list().orEmpty().count { it.length != 64 })
    }
}

/** BUNDLE: print the messages of invalid calls. */
private fun misuse(arguments: List<String>): JsonElement {
    val model = BundleModel.open(Bundle.open(File(arguments[0])))
    val network = model.network
    val good = FloatArray(network.inputSize)
    val attempts = listOf<() -> Unit>(
        { network.run(FloatArray(3)) },
        { network.timed(good, FloatArray(1), Processor.CPU, null) },
        { network.timed(good, FloatArray(network.outputSize), Processor.CPU, LongArray(99)) },
        { network.run(good, Processor.GPU) },
        { network.runBatch(good, 2, FloatArray(2 * network.outputSize), 1) },
        { network.runBatch(good, 1, FloatArray(network.outputSize), 1000) },
        { network.runBatch(good, Int.MAX_VALUE, FloatArray(network.outputSize), 1) },
        { network.runBatch(good, -1, FloatArray(network.outputSize), 1) },
        { model.weights.decode(-1) },
        { model.weights.decode(1_000_000) },
        { network.close(); network.close(); network.run(good) },
        { network.openGpu(File("kernels")) },
    )
    return buildJsonArray {
        for (attempt in attempts) {
            add(JsonPrimitive(try { attempt(); "nothing" } catch (error: BundleException) { error.message }))
        }
    }
}

/** BUNDLE MACHINE ANDROID: print the target that such a device would load. */
private fun platform(arguments: List<String>): JsonElement {
    val bundle = Bundle.open(File(arguments[0]))
    val platform = Platform(arguments[1], arguments[2].toBoolean())
    val target = bundle.manifest.targetFor(platform.machine, platform.android)
    if (target == null) BundleModel.open(bundle, platform)
    return JsonPrimitive(target?.name)
}

/** ZIP SCRATCH OLD KEY…: check the signature with these keys; OLD is "old" to simulate a system without Ed25519. */
private fun signed(arguments: List<String>): JsonElement {
    if (arguments[2] == "old") java.security.Security.getProviders("KeyFactory.Ed25519").orEmpty()
        .forEach { java.security.Security.removeProvider(it.name) }
    val keys = Keyring(arguments.drop(3).associate { File(it).name to File(it).readText() })
    val bundle = File(arguments[0]).inputStream().use { Bundle.unpack(it, File(arguments[1]), keys) }
    return buildJsonObject {
        put("outcome", bundle.signature?.outcome?.name)
        put("detail", bundle.signature?.detail)
        put("first", BundleModel.open(bundle).use { Verification(it).run().first().name })
    }
}

/** NAME PROVIDER SENDER, each "-" if unknown: print the description of a bundle's source. */
private fun source(arguments: List<String>): JsonElement =
    JsonPrimitive(arguments.map { it.takeIf { text -> text != "-" } }.let { (name, provider, sender) -> Source(name, provider, sender).words() })

/** SCRATCH BUNDLE…: load one bundle after the other and run all tasks, as the app does; prints the last state of each. */
private fun workbench(arguments: List<String>): JsonElement {
    val tasks = LinkedBlockingQueue<Runnable>()
    val background = Executors.newSingleThreadExecutor()
    val bench = Workbench(File(arguments[0]), tasks::put, background)
    var shown = State()
    bench.watch { shown = it }

    fun settle() {
        do {
            val task = tasks.poll(if (shown.work == null) 300 else 20_000, TimeUnit.MILLISECONDS)
            task?.run()
        } while (task != null || shown.work != null)
    }
    val ends = arguments.drop(1).map { path ->
        bench.load { File(path).inputStream() }
        settle()
        val failure = shown.failure
        bench.dismiss()
        bench.recognise(Digit(strokes("0.5,0.2 0.5,0.8")))
        settle()
        bench.verify()
        settle()
        bench.measure(threads = 2, warmup = 1, runs = 60, gpu = true)
        settle()
        buildJsonObject {
            put("name", shown.model?.manifest?.name)
            put("failure", failure)
            put("label", shown.prediction?.label)
            put("checks", shown.checks.size)
            put("results", shown.results.size)
            put("kept", File(arguments[0]).list().orEmpty().size)
        }
    }
    background.shutdown()
    return JsonArray(ends)
}

/** BUNDLE SCRATCH WIDTH DRAWING [gpu]: print the texts and charts of all screens, by the names of their views. */
private fun screens(arguments: List<String>): JsonElement = opened(arguments[0], arguments[1]).use { model ->
    val noGpu = if ("gpu" in arguments) model.network.openGpu(File(arguments[1], "kernels")) else "there is no OpenCL library"
    val charts = Charts(arguments[2].toFloat())
    val facts = model.weights.facts()
    val takesDigits = Digit.fits(model.manifest)
    val input = if (takesDigits) Digit(strokes(arguments[3])).input(model.manifest.preprocessing, model.hand) else model.bundle.goldenInputs()[0]
    val prediction = Prediction.of(model.network.run(input), model.manifest.labels)
    val results = listOf(Benchmark(model).run(BenchmarkSettings(Processor.CPU, threads = 2, warmup = 200, runs = 5000)))
    val cards = listOf(
        DrawCard(model.manifest, prediction), ModelCard(model, facts), BenchmarkCard(results, model.network.gpu, noGpu),
        VerifyCard(Verification(model).run()),
    )
    buildJsonObject {
        put("texts", buildJsonObject { cards.flatMap(::textsOf).forEach { (name, text) -> put(name, text) } })
        put("charts", buildJsonObject {
            put("draw_chart", described(charts.probabilities(prediction)))
            put("model_chart", described(charts.bytes(facts)))
            put("benchmark_chart", described(charts.kernels(results.single())))
        })
    }
}

/** The properties of a card, by the names of their views. */
private fun textsOf(card: Any): List<Pair<String, String>> = card.javaClass.declaredFields
    .filter { it.type == String::class.java && !java.lang.reflect.Modifier.isStatic(it.modifiers) }
    .map { field ->
        field.isAccessible = true
        field.name.replace(Regex("[A-Z]")) { "_" + it.value.lowercase() } to field.get(card) as String
    }

/** The fields of every shape. */
private fun JsonObjectBuilder.start(kind: String, x: Float, y: Float, tone: Tone) {
    put("kind", kind)
    put("x", x)
    put("y", y)
    put("tone", tone.name.lowercase())
}

private fun described(scene: Scene) = buildJsonObject {
    put("width", scene.width)
    put("height", scene.height)
    put("description", scene.description)
    put("shapes", buildJsonArray {
        for (shape in scene.shapes) add(buildJsonObject {
            when (shape) {
                is Box -> {
                    start("box", shape.x, shape.y, shape.tone)
                    put("width", shape.width)
                    put("height", shape.height)
                }
                is Label -> {
                    start("label", shape.x, shape.y, shape.tone)
                    put("size", shape.size)
                    put("text", shape.text)
                    put("anchor", shape.anchor.name.lowercase())
                }
            }
        })
    })
}
