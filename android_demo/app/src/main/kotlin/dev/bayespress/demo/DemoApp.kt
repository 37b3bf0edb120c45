package dev.bayespress.demo

import android.app.Application
import android.os.Handler
import android.os.Looper
import dev.bayespress.model.BundleException
import dev.bayespress.model.Keyring
import dev.bayespress.model.Workbench
import java.io.File
import java.io.FileNotFoundException
import java.io.InputStream
import java.util.concurrent.Executors

/** Owns the workbench, which outlives the activities. */
class DemoApp : Application() {
    /** The workbench. Its first use loads the bundle that was built into the app. */
    val workbench: Workbench by lazy {
        val handler = Handler(Looper.getMainLooper())
        val background = Executors.newSingleThreadExecutor { Thread(it, "workbench") }
        Workbench(File(filesDir, "bundles"), { handler.post(it) }, background, keys()).apply {
            load(::shipped)
        }
    }

    private fun shipped(): InputStream = try {
        assets.open(ASSET)
    } catch (missing: FileNotFoundException) {
        throw BundleException("The app was built without a bundle; open one here, or use bayespress build --android.")
    }

    /** Public keys that the app's builder trusts, by file name. */
    private fun keys() = Keyring(
        assets.list(KEYS).orEmpty().associateWith { name -> assets.open("$KEYS/$name").use { it.readBytes().decodeToString() } },
    )

    private companion object {
        const val KEYS = "keys" // PEM files in app/src/main/assets/keys
        const val ASSET = "bundle.zip" // written by `bayespress build --android`
    }
}
