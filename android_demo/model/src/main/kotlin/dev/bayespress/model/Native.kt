package dev.bayespress.model

/**
 * The native methods, see jni_network.c and jni_codec.c. All throw [BundleException].
 *
 * They check no handles. Use [Network] and [Weights] instead, which check handles and sizes.
 */
internal object Native {
    init {
        System.loadLibrary("bayespress_jni")
    }

    external fun open(path: String, bpz: ByteArray): Long

    external fun close(handle: Long)

    external fun sizes(handle: Long): LongArray

    external fun kernelNames(handle: Long, gpu: Boolean): Array<String>

    external fun run(handle: Long, gpu: Boolean, input: FloatArray, output: FloatArray, kernels: LongArray?): Long

    external fun runBatch(handle: Long, threads: Int, inputs: FloatArray, count: Int, outputs: FloatArray): Long

    external fun openGpu(handle: Long, bpz: ByteArray, cache: String): String?

    external fun gpuNames(handle: Long): Array<String>?

    external fun tensorNames(bpz: ByteArray): Array<ByteArray>

    external fun tensorFacts(bpz: ByteArray): LongArray

    external fun decode(bpz: ByteArray, index: Int): FloatArray
}
