/* jni_support.h - exceptions, strings and arrays for all native methods. */
#ifndef JNI_SUPPORT_H
#define JNI_SUPPORT_H

#include <jni.h>
#include <stddef.h>
#include <stdint.h>

/* Declares and begins the definition of a native method of the Kotlin object dev.bayespress.model.Native. */
#define NATIVE(result, name, ...)                                                                                      \
    JNIEXPORT result JNICALL Java_dev_bayespress_model_Native_##name(JNIEnv *env, jobject self, __VA_ARGS__);          \
    JNIEXPORT result JNICALL Java_dev_bayespress_model_Native_##name(JNIEnv *env, jobject self, __VA_ARGS__)

/* Throws a BundleException with a message of one sentence, unless another exception is pending. */
void throw_bundle_exception(JNIEnv *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies the bytes of a Java array; the caller frees the copy. Returns NULL with a pending exception without memory. */
void *copy_of(JNIEnv *env, jbyteArray array, size_t *size);

/* Makes a Java string from the text of a driver or a library. Returns NULL with a pending exception without memory. */
jstring string_of(JNIEnv *env, const char *text);

/* Creates an array of `count` strings. Returns NULL if the count is too large or without memory. */
jobjectArray strings_of(JNIEnv *env, size_t count);

/* Whether a Java array is not null and has at least `count` elements. */
int has_length(JNIEnv *env, jarray array, uint64_t count);

#endif /* JNI_SUPPORT_H */
