package dev.bayespress.demo

import android.app.Activity
import android.app.AlertDialog
import android.content.ActivityNotFoundException
import android.content.Intent
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.OpenableColumns
import android.view.View
import android.widget.ProgressBar
import android.widget.RadioGroup
import android.widget.Toast
import dev.bayespress.model.BenchmarkReport
import dev.bayespress.model.Source
import dev.bayespress.model.State
import dev.bayespress.model.Workbench
import java.io.FileNotFoundException
import java.io.IOException

/** The four screens, the intents from other apps, and opening and saving files. The [Workbench] runs all long tasks. */
class MainActivity : Activity() {
    private val workbench: Workbench get() = (application as DemoApp).workbench
    private lateinit var screens: List<Screen>
    private var failureShown: String? = null
    private var dialog: AlertDialog? = null
    private var asked: Uri? = null // a bundle that waits for the user's answer

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.activity_main)
        screens = listOf(
            DrawScreen(this, workbench),
            ModelScreen(this, ::choose),
            BenchmarkScreen(this, workbench, ::share, ::save),
            VerifyScreen(this, workbench),
        )
        val tabs = findViewById<RadioGroup>(R.id.tabs)
        tabs.setOnCheckedChangeListener { _, chosen -> turnTo(chosen) }
        @Suppress("DEPRECATION") // its replacement requires a newer API than 24
        if (saved == null) receive(intent) else asked = saved.getParcelable(ASKED)
    }

    override fun onSaveInstanceState(state: Bundle) {
        super.onSaveInstanceState(state)
        state.putParcelable(ASKED, asked)
    }

    override fun onStart() {
        super.onStart()
        turnTo(findViewById<RadioGroup>(R.id.tabs).checkedRadioButtonId) // restoring the state later calls the listener again
        workbench.watch(::show)
        ask()
    }

    override fun onStop() {
        workbench.watch(null)
        dialog?.dismiss()
        failureShown = null
        super.onStop()
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        setIntent(intent) // `referrer` then refers to this intent's sender
        receive(intent)
    }

    private fun turnTo(tab: Int) {
        for ((button, screen) in TABS) {
            findViewById<View>(screen).visibility = if (button == tab) View.VISIBLE else View.GONE
        }
    }

    private fun show(state: State) {
        screens.forEach { it.show(state) }
        findViewById<ProgressBar>(R.id.progress).apply {
            visibility = if (state.work == null) View.INVISIBLE else View.VISIBLE
            isIndeterminate = state.work?.share == null
            progress = ((state.work?.share ?: 0.0) * max).toInt()
        }
        if (state.failure != null && state.failure != failureShown) {
            failureShown = state.failure
            dialog = AlertDialog.Builder(this)
                .setTitle(R.string.failure_title)
                .setMessage(state.failure)
                .setPositiveButton(R.string.close) { _, _ -> workbench.dismiss() }
                .setOnCancelListener { workbench.dismiss() }
                .show()
        } else if (state.failure == null) {
            failureShown = null
        }
    }

    // ---- bundles ----

    private fun choose() {
        setIntent(Intent(Intent.ACTION_MAIN)) // the file that the user chooses now does not come from the sending app
        start(Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*"), OPEN)
    }

    private fun receive(intent: Intent?) {
        val uri = when (intent?.action) {
            Intent.ACTION_VIEW -> intent.data
            Intent.ACTION_SEND -> shared(intent)
            else -> null
        }
        if (uri != null) {
            asked = uri
            ask()
        }
    }

    private fun shared(intent: Intent): Uri? = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
        intent.getParcelableExtra(Intent.EXTRA_STREAM, Uri::class.java)
    } else {
        @Suppress("DEPRECATION")
        intent.getParcelableExtra(Intent.EXTRA_STREAM)
    }

    /** Ask the user before opening a bundle, because its library is a program. */
    private fun ask() {
        val uri = asked ?: return
        dialog?.dismiss()
        dialog = AlertDialog.Builder(this)
            .setTitle(R.string.trust_title)
            .setMessage(getString(R.string.trust_message, source(uri).words()))
            .setPositiveButton(R.string.trust_open) { _, _ ->
                asked = null
                val resolver = applicationContext.contentResolver
                workbench.load { resolver.openInputStream(uri) ?: throw FileNotFoundException("$uri is empty") }
            }
            .setNegativeButton(R.string.cancel) { _, _ -> asked = null }
            .setOnCancelListener { asked = null }
            .show()
    }

    /** The content provider of the file and the sending app. Both are shown to the user but not trusted. */
    private fun source(uri: Uri): Source {
        val name = try {
            contentResolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use {
                if (it.moveToFirst()) it.getString(0) else null
            }
        } catch (error: RuntimeException) { // another app's provider may throw anything
            null
        }
        val foreign = intent?.action == Intent.ACTION_VIEW || intent?.action == Intent.ACTION_SEND
        return Source(name ?: uri.lastPathSegment, uri.authority, if (foreign) referrer?.host ?: "another app" else null)
    }

    // ---- reports ----

    private fun report(): String? {
        val state = workbench.state
        val model = state.model ?: return null
        val device = "${Build.MANUFACTURER} ${Build.MODEL}"
        val chip = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}" else Build.HARDWARE
        return BenchmarkReport(model, device, chip).json(state.results)
    }

    private fun share() {
        val report = report() ?: return
        val send = Intent(Intent.ACTION_SEND).setType("application/json").putExtra(Intent.EXTRA_TEXT, report)
        startActivity(Intent.createChooser(send, getString(R.string.benchmark_share)))
    }

    private fun save() {
        val name = workbench.state.model?.manifest?.name ?: return
        start(
            Intent(Intent.ACTION_CREATE_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("application/json")
                .putExtra(Intent.EXTRA_TITLE, "$name.bench.json"),
            SAVE,
        )
    }

    // ---- other apps' answers ----

    private fun start(intent: Intent, request: Int) {
        try {
            @Suppress("DEPRECATION") // its replacement is part of a library
            startActivityForResult(intent, request)
        } catch (nobody: ActivityNotFoundException) {
            Toast.makeText(this, R.string.nobody_takes_it, Toast.LENGTH_LONG).show()
        }
    }

    @Deprecated("Its replacement is part of a library.")
    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val uri = data?.data
        if (result != RESULT_OK || uri == null) return
        when (request) {
            OPEN -> {
                asked = uri
                ask()
            }
            SAVE -> write(uri)
        }
    }

    private fun write(uri: Uri) {
        val report = report() ?: return
        try {
            contentResolver.openOutputStream(uri)?.use { it.write(report.toByteArray()) }
        } catch (error: IOException) {
            Toast.makeText(this, error.message, Toast.LENGTH_LONG).show()
        }
    }

    private companion object {
        const val OPEN = 1
        const val SAVE = 2
        const val ASKED = "asked"
        val TABS = mapOf(
            R.id.tab_draw to R.id.screen_draw,
            R.id.tab_model to R.id.screen_model,
            R.id.tab_benchmark to R.id.screen_benchmark,
            R.id.tab_verify to R.id.screen_verify,
        )
    }
}
