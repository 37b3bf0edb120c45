package dev.bayespress.model

import java.io.ByteArrayOutputStream
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipException
import java.util.zip.ZipFile

/**
 * A bundle in a folder with a valid manifest. The other files are checked when they are read, see [read]. [signature] is
 * the result of checking the signature; null if the bundle is not signed.
 */
class Bundle private constructor(val folder: File, val manifest: Manifest, val signature: Check?) {
    /** A file's bytes. Throws [BundleException] if they do not match the manifest. */
    fun read(name: String): ByteArray {
        val entry = manifest.files[name] ?: throw BundleException("The bundle has no $name; build it again.")
        val file = File(folder, name)
        val bytes = if (file.isFile && file.length() == entry.size) file.readBytes() else null
        if (bytes == null || sha256(bytes) != entry.sha256) {
            throw BundleException("$name is not the file of ${entry.size} bytes that was built; fetch the bundle again.")
        }
        return bytes
    }

    /** Golden inputs, one array per example. */
    fun goldenInputs(): List<FloatArray> = golden(INPUT, manifest.inputSize)

    /** The outputs that PyTorch computed for the golden inputs. */
    fun goldenOutputs(): List<FloatArray> = golden(OUTPUT, manifest.outputSize)

    /** The allowed difference of each output, see deploy/verify/tolerance.py; [half] if products are float16. */
    fun goldenTolerances(half: Boolean): List<FloatArray> {
        val name = if (half) HALF else TOLERANCE
        val allowed = golden(name, manifest.outputSize)
        if (allowed.any { values -> values.any { !(it >= 0f) || it.isInfinite() } }) {
            throw BundleException("$name holds a tolerance that is negative or not finite; fetch the bundle again.")
        }
        return allowed
    }

    /** The golden inputs that are examples of the data. */
    fun realInputs(): List<FloatArray> = goldenInputs().take(manifest.realExamples)

    private fun golden(name: String, size: Int): List<FloatArray> {
        val bytes = read(name)
        if (bytes.size.toLong() != 4L * size * manifest.goldenExamples) {
            throw BundleException("$name has ${bytes.size} bytes, not ${manifest.goldenExamples} arrays of $size; build the bundle again.")
        }
        val floats = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return List(manifest.goldenExamples) { FloatArray(size).also(floats::get) }
    }

    companion object {
        private const val INPUT = "golden/input.f32"
        private const val OUTPUT = "golden/output.f32"
        private const val TOLERANCE = "golden/tolerance.f32"
        private const val HALF = "golden/half.f32"
        private const val SIGNATURE = "manifest.sig"
        private const val LARGEST_ZIP = 512L shl 20
        private const val MOST_ENTRIES = Manifest.MOST_FILES + 2 // the manifest and the signature are not listed in it

        /** Open a folder. Throws [BundleException] if it has no valid manifest. */
        fun open(folder: File, keys: Keyring = Keyring()): Bundle {
            val file = File(folder, Manifest.FILE)
            if (!file.isFile || file.length() > Manifest.LARGEST_BYTES) {
                throw BundleException("This is not a bundle: it has no ${Manifest.FILE}; make one with bayespress build.")
            }
            val bytes = file.readBytes()
            val signature = File(folder, SIGNATURE).takeIf { it.isFile }?.inputStream()?.use {
                it.readLimited(Keyring.SIGNATURE_BYTES.toLong(), SIGNATURE)
            }
            return Bundle(folder, Manifest.parse(bytes), keys.check(bytes, signature))
        }

        /**
         * Unpack a zip into a new folder inside [folder], named by the manifest's digest, and open it.
         *
         * Every file is checked while it is unpacked into a temporary folder, and nothing of an invalid bundle is kept.
         * If the bundle is signed, [keys] check the signature before anything except the manifest is unpacked. Throws
         * [BundleException] with the reason.
         */
        fun unpack(zip: InputStream, folder: File, keys: Keyring = Keyring()): Bundle {
            folder.mkdirs()
            val fresh = File.createTempFile("unpacking", "", folder).apply { delete() }
            val copy = File.createTempFile("arriving", ".zip", folder)
            try {
                copyLimited(zip, copy)
                val (manifest, signature) = ZipFile(copy).use { unpackInto(it, fresh, keys) }
                val destination = File(folder, manifest.digest)
                destination.deleteRecursively()
                if (!fresh.renameTo(destination)) {
                    throw BundleException("The bundle cannot be stored in $folder; free some space.")
                }
                return Bundle(destination, manifest, signature)
            } catch (error: ZipException) {
                throw BundleException("This is not a valid zip archive (${error.message}); fetch the bundle again.")
            } catch (error: BundleException) {
                throw error
            } catch (error: IllegalArgumentException) { // a file name that is not text
                throw BundleException("This is not a valid zip archive (${error.message}); fetch the bundle again.")
            } catch (error: IOException) {
                throw BundleException("The bundle cannot be read (${error.message}); fetch it again.")
            } finally {
                copy.delete()
                fresh.deleteRecursively()
            }
        }

        private fun copyLimited(from: InputStream, to: File) = to.outputStream().use { out ->
            val buffer = ByteArray(1 shl 16)
            var total = 0L
            while (true) {
                val count = from.read(buffer)
                if (count < 0) break
                total += count
                if (total > LARGEST_ZIP) {
                    throw BundleException("The file has more than ${LARGEST_ZIP shr 20} MB, the limit for a bundle; choose another file.")
                }
                out.write(buffer, 0, count)
            }
        }

        private fun unpackInto(zip: ZipFile, fresh: File, keys: Keyring): Pair<Manifest, Check?> {
            if (zip.size() > MOST_ENTRIES) {
                throw BundleException("The archive holds ${zip.size()} files, and a bundle has at most $MOST_ENTRIES; choose another file.")
            }
            val entries = zip.entries().toList()
            val own = entries.firstOrNull { it.name == Manifest.FILE }
                ?: throw BundleException("This is not a bundle: it has no ${Manifest.FILE}; make one with bayespress build.")
            val bytes = zip.getInputStream(own).use { it.readLimited(Manifest.LARGEST_BYTES, Manifest.FILE) }
            val manifest = Manifest.parse(bytes)
            val names = entries.map { it.name }
            names.groupBy { it }.values.firstOrNull { it.size > 1 }?.let {
                throw BundleException("The archive holds ${Source.shown(it[0])} twice; fetch the bundle again.")
            }
            val signature = entries.firstOrNull { it.name == SIGNATURE }?.let { entry ->
                zip.getInputStream(entry).use { it.readLimited(Keyring.SIGNATURE_BYTES.toLong(), SIGNATURE) }
            }
            val signed = keys.check(bytes, signature)
            for (name in manifest.files.keys - names.toSet()) {
                throw BundleException("$name is missing from the bundle; fetch it again.")
            }
            for (entry in entries) {
                val expected = manifest.files[entry.name]
                val limit = when (entry.name) {
                    Manifest.FILE -> Manifest.LARGEST_BYTES
                    SIGNATURE -> Keyring.SIGNATURE_BYTES.toLong()
                    else -> expected?.size
                        ?: throw BundleException("${Source.shown(entry.name)} is not in the manifest; do not use this bundle.")
                }
                val data = zip.getInputStream(entry).use { it.readLimited(limit, entry.name) }
                if (expected != null && (data.size.toLong() != expected.size || sha256(data) != expected.sha256)) {
                    throw BundleException("${entry.name} was changed after the bundle was built; fetch it again.")
                }
                val destination = safe(fresh, entry.name)
                destination.parentFile?.mkdirs()
                destination.writeBytes(data)
                destination.setReadOnly() // newer versions of Android load only libraries that cannot be written
            }
            return manifest to signed
        }

        private fun safe(folder: File, name: String): File {
            val parts = name.split('/')
            if (name.contains('\\') || parts.any { it.isEmpty() || it == "." || it == ".." }) {
                throw BundleException("The archive contains a file $name outside its own folder; do not use it.")
            }
            return File(folder, name)
        }

        private fun InputStream.readLimited(limit: Long, name: String): ByteArray {
            val data = ByteArrayOutputStream()
            val buffer = ByteArray(1 shl 16)
            while (true) {
                val count = read(buffer)
                if (count < 0) return data.toByteArray()
                data.write(buffer, 0, count)
                if (data.size() > limit) {
                    throw BundleException("$name is larger than its manifest says; fetch the bundle again.")
                }
            }
        }
    }
}
