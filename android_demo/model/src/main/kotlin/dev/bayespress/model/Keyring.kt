package dev.bayespress.model

import java.security.GeneralSecurityException
import java.security.KeyFactory
import java.security.NoSuchAlgorithmException
import java.security.PublicKey
import java.security.Signature
import java.security.spec.X509EncodedKeySpec
import java.util.Base64

/**
 * Public keys that whoever built the app trusts: files in PEM, as `bayespress sign --new-key` writes them, by their names.
 *
 * The signature is Ed25519 (RFC 8032) over the bytes of the manifest, which covers all other files by SHA-256. Java has it
 * since 15, Android since 13 (API 33); on older systems it cannot be checked, and the check says so.
 */
class Keyring(private val pems: Map<String, String> = emptyMap()) {
    /**
     * Who signed a manifest, as far as this can be known; null where nobody did.
     *
     * Throws [BundleException] for a signature that is by none of the keys.
     */
    fun check(manifest: ByteArray, signature: ByteArray?): Check? {
        if (signature == null) return null
        if (signature.size != SIGNATURE_BYTES) {
            throw BundleException("The bundle's signature has ${signature.size} bytes, not $SIGNATURE_BYTES; do not use it.")
        }
        if (pems.isEmpty()) return Check(NAME, Outcome.SKIPPED, "it is signed, and this app has no key to check it by")
        val owner = try {
            pems.entries.firstOrNull { (name, pem) -> verifies(key(name, pem), manifest, signature) }?.key
        } catch (missing: NoSuchAlgorithmException) {
            return Check(NAME, Outcome.SKIPPED, "it is signed, and this Android version cannot check it; Android 13 can")
        }
        if (owner == null) {
            throw BundleException("The bundle's signature is by nobody whom this app trusts (${pems.keys.joinToString()}); do not use it.")
        }
        return Check(NAME, Outcome.PASSED, "the manifest is signed by the owner of $owner")
    }

    private fun key(name: String, pem: String): PublicKey = try {
        val text = pem.lineSequence().filterNot { it.startsWith("-----") }.joinToString("") { it.trim() }
        KeyFactory.getInstance(ALGORITHM).generatePublic(X509EncodedKeySpec(decoded(text)))
    } catch (missing: NoSuchAlgorithmException) {
        throw missing
    } catch (error: GeneralSecurityException) {
        throw BundleException("The app's key $name is no public Ed25519 key in PEM; build the app with another.")
    } catch (error: IllegalArgumentException) { // of base64
        throw BundleException("The app's key $name is no public Ed25519 key in PEM; build the app with another.")
    }

    private fun verifies(key: PublicKey, manifest: ByteArray, signature: ByteArray): Boolean = try {
        Signature.getInstance(ALGORITHM).run {
            initVerify(key)
            update(manifest)
            verify(signature)
        }
    } catch (missing: NoSuchAlgorithmException) {
        throw missing
    } catch (error: GeneralSecurityException) { // of a signature that is none
        false
    }

    companion object {
        /** Bytes of a signature. */
        const val SIGNATURE_BYTES = 64
        private const val ALGORITHM = "Ed25519"
        private const val NAME = "Signature"

        // java.util.Base64 came with API 26, so systems without it have no Ed25519 either.
        private fun decoded(text: String): ByteArray = try {
            Base64.getDecoder().decode(text)
        } catch (missing: NoClassDefFoundError) {
            throw NoSuchAlgorithmException(missing)
        }
    }
}
