package dev.bayespress.model

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32

/** Where the bits of a tensor went, in the order of bpz_bit_usage; they add up to all that the file has of it. */
enum class Spent { FRAME, NAME, SHAPE, MAP, MASKS, TABLES, ROWS, INDICES, VALUES, PADDING }

/** One tensor of a `.bpz`: how many elements it has, how many of them are stored, and the bits of each kind. */
class TensorFacts(val name: String, val elements: Long, val stored: Long, private val bits: LongArray) {
    /** Bits spent on one thing. */
    fun bitsOf(what: Spent): Long = bits[what.ordinal]

    /** All of its bits. */
    val allBits: Long get() = bits.sum()
}

/** The weights of a bundle by themselves, through the codec's own decoder. All throw [BundleException]. */
class Weights(private val bpz: ByteArray) {
    /** Size of the file. */
    val bytes: Int get() = bpz.size

    /** Names, in the file's order. */
    fun names(): List<String> = Native.tensorNames(bpz).map { it.toString(Charsets.UTF_8) }

    /** What is in the file. */
    fun facts(): List<TensorFacts> {
        val all = Native.tensorFacts(bpz)
        return names().mapIndexed { index, name ->
            val first = index * FACTS
            TensorFacts(name, all[first], all[first + 1], all.copyOfRange(first + HEAD, first + FACTS))
        }
    }

    /** Tensor number [index] as it decodes here. */
    fun decode(index: Int): FloatArray = Native.decode(bpz, index)

    /** CRC-32 of a tensor's values as little-endian float32, which manifests have of what the builder decoded. */
    fun digest(index: Int): Long {
        val values = decode(index)
        val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        bytes.asFloatBuffer().put(values)
        return CRC32().apply { update(bytes.array()) }.value
    }

    private companion object {
        const val HEAD = 3 // elements, stored, rows
        val FACTS = HEAD + Spent.entries.size
    }
}
