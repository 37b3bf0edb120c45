package dev.bayespress.model

import java.io.Closeable
import java.io.File

/** What to look for in a bundle: a processor as `uname -m` names it, and whether the system is Android. */
class Platform(val machine: String, val android: Boolean) {
    companion object {
        /** The one this runs on. */
        fun current(): Platform {
            val machine = when (val message = System.getProperty("os.arch").orEmpty()) {
                "amd64" -> "x86_64"
                "arm64" -> "aarch64"
                "arm", "armv8l" -> "armv7l" // a 32-bit process, whatever the processor
                else -> message
            }
            return Platform(machine, System.getProperty("java.vm.name") == "Dalvik")
        }
    }
}

/** A bundle with its network loaded: what the app's screens show and run. */
class BundleModel private constructor(
    val bundle: Bundle,
    val target: TargetEntry,
    val weights: Weights,
    val network: Network,
) : Closeable {
    val manifest: Manifest get() = bundle.manifest

    /** How digits are drawn for this network: as in its golden inputs. */
    val hand: Hand by lazy {
        if (Digit.fits(manifest)) Hand.of(bundle.realInputs(), manifest.preprocessing) else Hand.MNIST
    }

    override fun close() = network.close()

    companion object {
        /**
         * Load a bundle's network for this device. Its library and weights are checked first, since the library is
         * code that is about to be run.
         *
         * Throws [BundleException] for a bundle that was built for other devices or is not whole.
         */
        fun open(bundle: Bundle, platform: Platform = Platform.current()): BundleModel {
            val manifest = bundle.manifest
            val target = manifest.targetFor(platform.machine, platform.android)
            val library = target?.library
            if (target == null || library == null) {
                val system = if (platform.android) "Android" else "this system"
                throw BundleException(
                    "The bundle is for ${manifest.targets.joinToString { it.name }}, and has nothing for $system on " +
                        "${platform.machine}; build it for this device.",
                )
            }
            bundle.read(library)
            val bpz = bundle.read(Manifest.WEIGHTS)
            val network = Network.open(File(bundle.folder, library), bpz)
            if (network.inputSize != manifest.inputSize || network.outputSize != manifest.outputSize) {
                network.close()
                throw BundleException("The library is of another network than its manifest; build the bundle again.")
            }
            return BundleModel(bundle, target, Weights(bpz), network)
        }
    }
}
