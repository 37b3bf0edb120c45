package dev.bayespress.demo

import android.app.Activity
import android.view.View
import android.widget.Button
import android.widget.CheckBox
import android.widget.EditText
import android.widget.TextView
import dev.bayespress.model.BenchmarkCard
import dev.bayespress.model.Charts
import dev.bayespress.model.DrawCard
import dev.bayespress.model.ModelCard
import dev.bayespress.model.State
import dev.bayespress.model.VerifyCard
import dev.bayespress.model.Work
import dev.bayespress.model.Workbench

/** A screen: a part of the layout that shows a state. */
internal interface Screen {
    fun show(state: State)
}

internal fun Activity.text(id: Int, text: CharSequence) {
    val view = findViewById<TextView>(id)
    if (view.text.toString() != text.toString()) view.text = text // a screen reader speaks a live region after every change
}

/** The screen for drawing a digit, with the class probabilities. */
internal class DrawScreen(private val activity: Activity, private val workbench: Workbench) : Screen {
    private val drawing = activity.findViewById<DigitView>(R.id.draw_digit)
    private var model: Any? = null

    init {
        drawing.onDrawn = workbench::recognise
        activity.findViewById<Button>(R.id.draw_clear).setOnClickListener { drawing.clear() }
    }

    override fun show(state: State) {
        if (state.model !== model) {
            model = state.model
            workbench.recognise(drawing.digit) // with the current network
        }
        val card = DrawCard(state.model?.manifest, state.prediction)
        activity.text(R.id.draw_answer, card.drawAnswer)
        activity.text(R.id.draw_hint, card.drawHint)
        val prediction = state.prediction
        activity.findViewById<SceneView>(R.id.draw_chart)
            .show(prediction?.let { { width -> Charts(width).probabilities(it) } })
    }
}

/** The screen with the properties of the bundle. */
internal class ModelScreen(private val activity: Activity, open: () -> Unit) : Screen {
    init {
        activity.findViewById<Button>(R.id.model_open).setOnClickListener { open() }
    }

    override fun show(state: State) {
        val model = state.model ?: return
        val card = ModelCard(model, state.facts)
        activity.text(R.id.model_name, card.modelName)
        activity.text(R.id.model_original, card.modelOriginal)
        activity.text(R.id.model_packed, card.modelPacked)
        activity.text(R.id.model_ratio, card.modelRatio)
        activity.text(R.id.model_stored, card.modelStored)
        activity.text(R.id.model_error, card.modelError)
        activity.text(R.id.model_memory, card.modelMemory)
        activity.text(R.id.model_target, card.modelTarget)
        activity.findViewById<SceneView>(R.id.model_chart).show { width -> Charts(width).bytes(state.facts) }
    }
}

/** The screen for measuring the latency. */
internal class BenchmarkScreen(
    private val activity: Activity,
    private val workbench: Workbench,
    share: () -> Unit,
    save: () -> Unit,
) : Screen {
    private val start = activity.findViewById<Button>(R.id.benchmark_start)
    private val gpu = activity.findViewById<CheckBox>(R.id.benchmark_gpu)
    private val outlets = listOf(R.id.benchmark_share to share, R.id.benchmark_save to save)

    init {
        start.setOnClickListener { if (workbench.state.work == null) measure() else workbench.stop() }
        for ((id, action) in outlets) activity.findViewById<Button>(id).setOnClickListener { action() }
    }

    override fun show(state: State) {
        val card = BenchmarkCard(state.results, state.model?.network?.gpu, state.noGpu)
        activity.text(R.id.benchmark_device, card.benchmarkDevice)
        activity.text(R.id.benchmark_summary, card.benchmarkSummary)
        activity.text(R.id.benchmark_layers, card.benchmarkLayers)
        val measuring = state.work?.kind == Work.Kind.MEASURING
        start.setText(if (measuring) R.string.benchmark_stop else R.string.benchmark_start)
        start.isEnabled = measuring || (state.model != null && state.work == null)
        gpu.isEnabled = state.model?.network?.gpu != null
        val last = state.results.lastOrNull()
        activity.findViewById<SceneView>(R.id.benchmark_chart).show(last?.let { { width -> Charts(width).kernels(it) } })
        for ((id, _) in outlets) {
            activity.findViewById<View>(id).visibility = if (last != null && !measuring) View.VISIBLE else View.GONE
        }
    }

    private fun measure() {
        val runs = number(R.id.benchmark_runs, RUNS) ?: return
        val warmup = number(R.id.benchmark_warmup, WARMUP) ?: return
        val threads = number(R.id.benchmark_threads, THREADS) ?: return
        workbench.measure(threads, warmup, runs, gpu.isEnabled && gpu.isChecked)
    }

    /** The number in a field; if it is out of range, null, and the field shows an error. */
    private fun number(id: Int, range: IntRange): Int? {
        val field = activity.findViewById<EditText>(id)
        val number = field.text.toString().toIntOrNull()?.takeIf { it in range }
        field.error = if (number != null) null else activity.getString(R.string.benchmark_number, range.first, range.last)
        return number
    }

    private companion object {
        val RUNS = 1..100_000
        val WARMUP = 0..10_000
        val THREADS = 1..64 // BP_MAX_THREADS
    }
}

/** The screen for verifying the bundle. */
internal class VerifyScreen(private val activity: Activity, private val workbench: Workbench) : Screen {
    private val start = activity.findViewById<Button>(R.id.verify_start)

    init {
        start.setOnClickListener { workbench.verify() }
    }

    override fun show(state: State) {
        val card = VerifyCard(state.checks)
        activity.text(R.id.verify_verdict, card.verifyVerdict)
        activity.text(R.id.verify_checks, card.verifyChecks)
        start.isEnabled = state.model != null && state.work == null
    }
}
