package dev.bayespress.model

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.util.concurrent.Executor
import java.util.concurrent.ExecutorService

/** What the screens show. A state never changes; [Workbench] goes from one to the next. */
data class State(
    val model: BundleModel? = null,
    val facts: List<TensorFacts> = emptyList(),
    val noGpu: String? = null,
    val failure: String? = null,
    val work: Work? = null,
    val prediction: Prediction? = null,
    val results: List<BenchmarkResult> = emptyList(),
    val checks: List<Check> = emptyList(),
)

/** What is being done, and how much of it, from 0 to 1; [share] is null where that is not known. */
data class Work(val kind: Kind, val share: Double? = null) {
    enum class Kind { LOADING, MEASURING, VERIFYING }
}

/**
 * All that the app does that takes time, one thing after the other on [background]; states are handed over on [main],
 * from which alone all functions are to be called. It outlives the screens, so that turning a phone interrupts nothing.
 *
 * [folder] is where bundles are unpacked, and the GPU's compiled kernels kept; [keys] are those of trusted builders.
 */
class Workbench(
    private val folder: File,
    private val main: Executor,
    private val background: ExecutorService,
    private val keys: Keyring = Keyring(),
) {
    /** The present state. */
    var state = State()
        private set

    private var listener: ((State) -> Unit)? = null
    private var drawing = 0

    @Volatile private var stopping = false

    /** Tell [shown] of the state now and whenever it changes; null ends that. */
    fun watch(shown: ((State) -> Unit)?) {
        listener = shown
        shown?.invoke(state)
    }

    /** Load another bundle in place of the present one, which stays where the new one is refused. */
    fun load(open: () -> InputStream) {
        stopping = true // whatever is measured is of the old one
        change { it.copy(work = Work(Work.Kind.LOADING), failure = null) }
        inBackground(Work.Kind.LOADING) {
            stopping = false
            val bundle = try {
                open().use { Bundle.unpack(it, folder, keys) }
            } catch (error: BundleException) {
                throw error
            } catch (error: IOException) {
                throw BundleException("The file cannot be read (${error.message}); choose another one.")
            } catch (error: SecurityException) {
                throw BundleException("The file is not ours to read (${error.message}); choose it again.")
            }
            val model = BundleModel.open(bundle)
            val facts: List<TensorFacts>
            val noGpu: String?
            try {
                facts = model.weights.facts()
                noGpu = model.network.openGpu(File(folder, "${model.manifest.digest}.kernels"))
            } catch (error: BundleException) {
                model.close()
                throw error
            }
            main.execute {
                val old = state.model
                change { State(model = model, facts = facts, noGpu = noGpu) }
                old?.let { background.execute(it::close) }
                clearOthers(bundle)
            }
        }
    }

    /** Recognise a drawing; only the last one that was given is answered. */
    fun recognise(digit: Digit) {
        val model = state.model ?: return
        val number = ++drawing
        if (digit.isEmpty || !Digit.fits(model.manifest)) {
            change { it.copy(prediction = null) }
            return
        }
        inBackground(null) {
            val logits = model.network.run(digit.input(model.manifest.preprocessing, model.hand))
            val prediction = Prediction.of(logits, model.manifest.labels)
            main.execute { if (number == drawing && state.model === model) change { it.copy(prediction = prediction) } }
        }
    }

    /** Measure on the processor, and on the GPU where there is one and [gpu] asks for it. */
    fun measure(threads: Int, warmup: Int, runs: Int, gpu: Boolean) {
        val model = state.model ?: return
        stopping = false
        change { it.copy(work = Work(Work.Kind.MEASURING, 0.0), failure = null, results = emptyList()) }
        val processors = Processor.entries.filter { it == Processor.CPU || (gpu && model.network.gpu != null) }
        inBackground(Work.Kind.MEASURING) {
            processors.forEachIndexed { index, on ->
                val result = Benchmark(model).run(BenchmarkSettings(on, threads, warmup, runs)) { share ->
                    val all = (index + share) / processors.size
                    main.execute { change { if (it.work?.kind == Work.Kind.MEASURING) it.copy(work = Work(Work.Kind.MEASURING, all)) else it } }
                    !stopping
                }
                main.execute { change { if (it.model === model) it.copy(results = it.results + result) else it } }
            }
        }
    }

    /** Stop measuring. */
    fun stop() {
        stopping = true
    }

    /** Check the bundle. */
    fun verify() {
        val model = state.model ?: return
        change { it.copy(work = Work(Work.Kind.VERIFYING), failure = null, checks = emptyList()) }
        inBackground(Work.Kind.VERIFYING) {
            Verification(model).run { check ->
                main.execute { change { if (it.model === model) it.copy(checks = it.checks + check) else it } }
            }
        }
    }

    /** Take a failure's sentence off the screen. */
    fun dismiss() = change { it.copy(failure = null) }

    private fun inBackground(kind: Work.Kind?, work: () -> Unit) = background.execute {
        val failure = try {
            work()
            null
        } catch (stopped: Stopped) {
            null
        } catch (error: BundleException) {
            error.message
        } catch (error: OutOfMemoryError) {
            "There is no memory for this bundle; close other apps."
        } catch (error: RuntimeException) { // nothing that a file can hold may end the app
            "Something unforeseen happened ($error); please report it, with the bundle."
        }
        main.execute {
            change { it.copy(work = it.work?.takeIf { work -> work.kind != kind }, failure = failure ?: it.failure) }
        }
    }

    private fun change(next: (State) -> State) {
        state = next(state)
        listener?.invoke(state)
    }

    /** Bundles of before; of the present one its folder and its kernels stay. */
    private fun clearOthers(bundle: Bundle) = background.execute {
        folder.listFiles()?.filterNot { it.name.startsWith(bundle.manifest.digest) }?.forEach(File::deleteRecursively)
    }
}
