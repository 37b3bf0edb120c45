package dev.bayespress.model

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32

/** The kinds of bits of a tensor in the order of bpz_bit_usage; together they are all of the tensor's bits in the file. */
enum class BitUsage { FRAME, NAME, SHAPE, MAP, MASKS, TABLES, ROWS, INDICES, VALUES, PADDING }

/** One tensor of a `.bpz`: its number of elements, how many of them are stored, and the bits of each kind. */
class TensorFacts(val name: String, val elements: Long, val stored: Long, private val bits: LongArray) {
    /** The number of bits of one kind. */
    fun bitsOf(kind: BitUsage): Long = bits[kind.ordinal]

    /** The number of all bits. */
    val allBits: Long get() = bits.sum()
}

/** The weights of a bundle without a network, read by the codec's decoder. All functions throw [BundleException]. */
class Weights(private val bpz: ByteArray) {
    /** Size of the file in bytes. */
    val bytes: Int get() = bpz.size

    /** Names of the tensors in the order of the file. */
    fun names(): List<String> = Native.tensorNames(bpz).map { it.toString(Charsets.UTF_8) }

    /** Sizes of the tensors in the order of the file. */
    fun facts(): List<TensorFacts> {
        val all = Native.tensorFacts(bpz)
        return names().mapIndexed { index, name ->
            val first = index * FACTS
            TensorFacts(name, all[first], all[first + 1], all.copyOfRange(first + HEAD, first + FACTS))
        }
    }

    /** The decoded values of tensor number [index]. */
    fun decode(index: Int): FloatArray = Native.decode(bpz, index)

    /** CRC-32 of a tensor's values as little-endian float32; the manifest contains the builder's. */
    fun digest(index: Int): Long {
        val values = decode(index)
        val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        bytes.asFloatBuffer().put(values)
        return CRC32().apply { update(bytes.array()) }.value
    }

    private companion object {
        const val HEAD = 3 // elements, stored, rows
        val FACTS = HEAD + BitUsage.entries.size
    }
}
