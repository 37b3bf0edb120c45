package dev.bayespress.model

import java.security.GeneralSecurityException
import java.security.KeyFactory
import java.security.NoSuchAlgorithmException
import java.security.PublicKey
import java.security.Signature
import java.security.spec.X509EncodedKeySpec
import java.util.Base64

/**
 * Public keys that the app's builder trusts: PEM files as written by `bayespress sign --new-key`, by file name.
 *
 * The signature is Ed25519 (RFC 8032) over the bytes of the manifest, which lists the SHA-256 of all other files. Java has
 * Ed25519 since version 15, Android since version 13 (API 33). On older systems the check is skipped with this reason.
 */
class Keyring(private val pems: Map<String, String> = emptyMap()) {
    /**
     * Check the signature of a manifest; null if there is none.
     *
     * Throws [BundleException] if the signature does not belong to any of the keys.
     */
    fun check(manifest: ByteArray, signature: ByteArray?): Check? {
        if (signature == null) return null
        if (signature.size != SIGNATURE_BYTES) {
            throw BundleException("The bundle's signature has ${signature.size} bytes, not $SIGNATURE_BYTES; do not use it.")
        }
        if (pems.isEmpty()) return Check(NAME, Outcome.SKIPPED, "the bundle is signed, and this app has no key to check the signature")
        val owner = try {
            pems.entries.firstOrNull { (name, pem) -> verifies(key(name, pem), manifest, signature) }?.key
        } catch (missing: NoSuchAlgorithmException) {
            return Check(NAME, Outcome.SKIPPED, "the bundle is signed, and this Android version cannot check it; Android 13 can")
        }
        if (owner == null) {
            throw BundleException("The bundle's signature does not belong to a key that this app trusts (${pems.keys.joinToString()}); do not use it.")
        }
        return Check(NAME, Outcome.PASSED, "the manifest is signed by the owner of $owner")
    }

    private fun key(name: String, pem: String): PublicKey = try {
        val text = pem.lineSequence().filterNot { it.startsWith("-----") }.joinToString("") { it.trim() }
        KeyFactory.getInstance(ALGORITHM).generatePublic(X509EncodedKeySpec(decoded(text)))
    } catch (missing: NoSuchAlgorithmException) {
        throw missing
    } catch (error: GeneralSecurityException) {
        throw BundleException("The app's key $name is not a public Ed25519 key in PEM; build the app with another key.")
    } catch (error: IllegalArgumentException) { // invalid base64
        throw BundleException("The app's key $name is not a public Ed25519 key in PEM; build the app with another key.")
    }

    private fun verifies(key: PublicKey, manifest: ByteArray, signature: ByteArray): Boolean = try {
        Signature.getInstance(ALGORITHM).run {
            initVerify(key)
            update(manifest)
            verify(signature)
        }
    } catch (missing: NoSuchAlgorithmException) {
        throw missing
    } catch (error: GeneralSecurityException) { // bytes that are not a signature
        false
    }

    companion object {
        /** Size of a signature in bytes. */
        const val SIGNATURE_BYTES = 64
        private const val ALGORITHM = "Ed25519"
        private const val NAME = "Signature"

        // java.util.Base64 exists since API 26; older systems have no Ed25519 either.
        private fun decoded(text: String): ByteArray = try {
            Base64.getDecoder().decode(text)
        } catch (missing: NoClassDefFoundError) {
            throw NoSuchAlgorithmException(missing)
        }
    }
}
