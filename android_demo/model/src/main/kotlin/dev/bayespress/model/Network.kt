package dev.bayespress.model

import java.io.Closeable
import java.io.File

/** The processor, or the GPU that [Network.openGpu] opened. */
enum class Processor { CPU, GPU }

/** The name of the GPU, and the type of its products: "float16" or "float32". */
class Gpu(val name: String, val precision: String)

/**
 * A loaded network. Only one thread uses it at a time; other threads wait, and so does [close].
 *
 * All functions throw [BundleException], also if the network is closed.
 */
class Network private constructor(private var handle: Long, private val bpz: ByteArray) : Closeable {
    private val lock = Any()

    /** Number of floats in one input. */
    val inputSize: Int

    /** Number of floats in one output. */
    val outputSize: Int

    /** Bytes of memory for the weights and all activations. */
    val workspaceBytes: Long

    /** The GPU in use; null unless [openGpu] opened one. */
    var gpu: Gpu? = null
        private set

    init {
        val sizes = Native.sizes(handle)
        inputSize = counted(sizes[0])
        outputSize = counted(sizes[1])
        workspaceBytes = sizes[2]
    }

    /** The output for one input. */
    fun run(input: FloatArray, on: Processor = Processor.CPU): FloatArray {
        val output = FloatArray(outputSize)
        timed(input, output, on, null)
        return output
    }

    /** Run and write the output into [output] and the nanoseconds of each kernel into [kernels]; returns the total time. */
    fun timed(input: FloatArray, output: FloatArray, on: Processor, kernels: LongArray?): Long = locked { handle ->
        expect(input.size == inputSize) { "An input has $inputSize numbers, not ${input.size}." }
        expect(output.size == outputSize) { "An output has $outputSize numbers, not ${output.size}." }
        checkGpu(on)
        expect(kernels == null || kernels.size == Native.kernelNames(handle, on == Processor.GPU).size) {
            "The array of times does not have one element for each kernel."
        }
        Native.run(handle, on == Processor.GPU, input, output, kernels)
    }

    /** Outputs of [count] inputs, one behind the other, on [threads] threads; nanoseconds that all took. */
    fun runBatch(inputs: FloatArray, count: Int, outputs: FloatArray, threads: Int): Long = locked { handle ->
        val (inputNumbers, outputNumbers) = 1L * count * inputSize to 1L * count * outputSize // may not fit into an Int
        expect(count > 0 && inputs.size.toLong() == inputNumbers && outputs.size.toLong() == outputNumbers) {
            "$count inputs have $inputNumbers numbers and their outputs $outputNumbers."
        }
        Native.runBatch(handle, threads, inputs, count, outputs)
    }

    /** The names of the kernels in the order of execution. */
    fun kernels(on: Processor): List<String> = locked { handle ->
        checkGpu(on)
        Native.kernelNames(handle, on == Processor.GPU).toList()
    }

    /**
     * Open a GPU and load the network there. Its kernels are compiled unless the file [cache] contains them.
     *
     * Returns null, or the reason why no GPU can be used.
     */
    fun openGpu(cache: File): String? = locked { handle ->
        val reason = Native.openGpu(handle, bpz, cache.path)
        gpu = Native.gpuNames(handle)?.let { (name, precision) -> Gpu(name, precision) }
        reason
    }

    override fun close() {
        synchronized(lock) {
            if (handle != 0L) Native.close(handle)
            handle = 0L
        }
    }

    private fun counted(size: Long): Int {
        if (size !in 1..Manifest.MOST_NUMBERS) {
            close()
            throw BundleException("The network's input or output has $size numbers, more than a phone can hold; build another one.")
        }
        return size.toInt()
    }

    private fun checkGpu(on: Processor) =
        expect(on == Processor.CPU || gpu != null) { "No GPU is open; run on the processor." }

    private inline fun <Result> locked(work: (Long) -> Result): Result = synchronized(lock) {
        expect(handle != 0L) { "The network was closed; open it again." }
        work(handle)
    }

    private inline fun expect(holds: Boolean, otherwise: () -> String) {
        if (!holds) throw BundleException(otherwise())
    }

    companion object {
        /** Load a bundle's library with its weights. Throws [BundleException] if it is not for this device. */
        fun open(library: File, bpz: ByteArray): Network = Network(Native.open(library.path, bpz), bpz)
    }
}
