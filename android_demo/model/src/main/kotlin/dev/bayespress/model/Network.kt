package dev.bayespress.model

import java.io.Closeable
import java.io.File

/** The processor, or the GPU that [Network.openGpu] found. */
enum class Processor { CPU, GPU }

/** The GPU's own name, and "float16" or "float32", which its products are computed in. */
class Gpu(val name: String, val precision: String)

/**
 * A loaded network. One thread uses it at a time, the others wait; [close] waits too.
 *
 * All functions throw [BundleException], also on a network that is closed.
 */
class Network private constructor(private var handle: Long, private val bpz: ByteArray) : Closeable {
    private val lock = Any()

    /** Floats of one input. */
    val inputSize: Int

    /** Floats of one output. */
    val outputSize: Int

    /** Bytes that the weights and all activations take. */
    val workspaceBytes: Long

    /** The GPU in use; null before [openGpu] found one. */
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

    /** As [run], into [output]; nanoseconds that it took, and into [kernels] those of each kernel. */
    fun timed(input: FloatArray, output: FloatArray, on: Processor, kernels: LongArray?): Long = locked { handle ->
        expect(input.size == inputSize) { "An input has $inputSize numbers, and ${input.size} were given." }
        expect(output.size == outputSize) { "An output has $outputSize numbers, not ${output.size}." }
        checkGpu(on)
        expect(kernels == null || kernels.size == Native.kernelNames(handle, on == Processor.GPU).size) {
            "There is not one place for the time of each kernel."
        }
        Native.run(handle, on == Processor.GPU, input, output, kernels)
    }

    /** Outputs of [count] inputs, one behind the other, on [threads] threads; nanoseconds that all took. */
    fun runBatch(inputs: FloatArray, count: Int, outputs: FloatArray, threads: Int): Long = locked { handle ->
        val (given, wanted) = 1L * count * inputSize to 1L * count * outputSize // which may be more than an Int
        expect(count > 0 && inputs.size.toLong() == given && outputs.size.toLong() == wanted) {
            "$count inputs have $given numbers and their outputs $wanted."
        }
        Native.runBatch(handle, threads, inputs, count, outputs)
    }

    /** The kernels in the order in which they run. */
    fun kernels(on: Processor): List<String> = locked { handle ->
        checkGpu(on)
        Native.kernelNames(handle, on == Processor.GPU).toList()
    }

    /**
     * Look for a GPU and bring the network there, compiling its kernels unless the file [cache] has them.
     *
     * Null, or why there is none.
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
            throw BundleException("The network takes or gives $size numbers, which no phone can hold; build another one.")
        }
        return size.toInt()
    }

    private fun checkGpu(on: Processor) =
        expect(on == Processor.CPU || gpu != null) { "There is no GPU here; run on the processor." }

    private inline fun <Result> locked(work: (Long) -> Result): Result = synchronized(lock) {
        expect(handle != 0L) { "The network was closed; open it again." }
        work(handle)
    }

    private inline fun expect(holds: Boolean, otherwise: () -> String) {
        if (!holds) throw BundleException(otherwise())
    }

    companion object {
        /** Load a library of a bundle with its weights. Throws [BundleException] when it is not for this device. */
        fun open(library: File, bpz: ByteArray): Network = Network(Native.open(library.path, bpz), bpz)
    }
}
