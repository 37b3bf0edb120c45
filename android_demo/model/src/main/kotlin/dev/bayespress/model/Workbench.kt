package dev.bayespress.model

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.util.concurrent.Executor
import java.util.concurrent.ExecutorService

/** The data of the screens. A state is immutable; [Workbench] replaces it by the next one. */
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

/** The current task and its completed fraction [share], 0 to 1; null if unknown. */
data class Work(val kind: Kind, val share: Double? = null) {
    enum class Kind { LOADING, MEASURING, VERIFYING }
}

/**
 * Executes the app's long tasks one at a time on [background]. Call all functions on [main], where listeners receive states
 * too. It outlives the screens, so turning the phone interrupts no task.
 *
 * [folder] contains unpacked bundles and the GPU's compiled kernels; [keys] are the public keys of trusted builders.
 */
class Workbench(
    private val folder: File,
    private val main: Executor,
    private val background: ExecutorService,
    private val keys: Keyring = Keyring(),
) {
    /** The current state. */
    var state = State()
        private set

    private var listener: ((State) -> Unit)? = null
    private var drawing = 0

    @Volatile private var stopping = false

    /** Call [listener] with the state now and after every change; null removes the listener. */
    fun watch(listener: ((State) -> Unit)?) {
        this.listener = listener
        listener?.invoke(state)
    }

    /** Load another bundle. If it is refused, the current bundle stays loaded. */
    fun load(open: () -> InputStream) {
        stopping = true // stop measuring the current bundle
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
                throw BundleException("This app may not read the file (${error.message}); choose it again.")
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

    /** Recognise a drawing. Only the most recent drawing gets a prediction. */
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

    /** Measure on the processor and, if [gpu] is true and a GPU is open, on the GPU. */
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

    /** Remove the message of a failure from the state. */
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
            "There is not enough memory for this bundle; close other apps."
        } catch (error: RuntimeException) { // no file may crash the app
            "An unexpected error occurred ($error); please report it together with the bundle."
        }
        main.execute {
            change { it.copy(work = it.work?.takeIf { work -> work.kind != kind }, failure = failure ?: it.failure) }
        }
    }

    private fun change(next: (State) -> State) {
        state = next(state)
        listener?.invoke(state)
    }

    /** Delete everything except the folder and the compiled kernels of [bundle]. */
    private fun clearOthers(bundle: Bundle) = background.execute {
        folder.listFiles()?.filterNot { it.name.startsWith(bundle.manifest.digest) }?.forEach(File::deleteRecursively)
    }
}
