package dev.bayespress.model

import java.io.Closeable
import java.io.File

/** The platform of a device: its processor, named as by `uname -m`, and whether the system is Android. */
class Platform(val machine: String, val android: Boolean) {
    companion object {
        /** The platform of this process. */
        fun current(): Platform {
            val machine = when (val message = System.getProperty("os.arch").orEmpty()) {
                "amd64" -> "x86_64"
                "arm64" -> "aarch64"
                "arm", "armv8l" -> "armv7l" // a 32-bit process, also on a 64-bit processor
                else -> message
            }
            return Platform(machine, System.getProperty("java.vm.name") == "Dalvik")
        }
    }
}

/** A bundle with its loaded network, for the app's screens. */
class BundleModel private constructor(
    val bundle: Bundle,
    val target: TargetEntry,
    val weights: Weights,
    val network: Network,
) : Closeable {
    val manifest: Manifest get() = bundle.manifest

    /** The size and thickness of digits for this network, taken from its golden inputs. */
    val hand: Hand by lazy {
        if (Digit.fits(manifest)) Hand.of(bundle.realInputs(), manifest.preprocessing) else Hand.MNIST
    }

    override fun close() = network.close()

    companion object {
        /**
         * Load a bundle's network for this device. The library and the weights are checked first, because the library is
         * code.
         *
         * Throws [BundleException] if the bundle was built for other devices or one of these files was changed.
         */
        fun open(bundle: Bundle, platform: Platform = Platform.current()): BundleModel {
            val manifest = bundle.manifest
            val target = manifest.targetFor(platform.machine, platform.android)
            val library = target?.library
            if (target == null || library == null) {
                val system = if (platform.android) "Android" else "this system"
                throw BundleException(
                    "The bundle is for ${manifest.targets.joinToString { it.name }} and has no library for $system on " +
                        "${platform.machine}; build it for this device.",
                )
            }
            bundle.read(library)
            val bpz = bundle.read(Manifest.WEIGHTS)
            val network = Network.open(File(bundle.folder, library), bpz)
            if (network.inputSize != manifest.inputSize || network.outputSize != manifest.outputSize) {
                network.close()
                throw BundleException("The library and the manifest describe different networks; build the bundle again.")
            }
            return BundleModel(bundle, target, Weights(bpz), network)
        }
    }
}
