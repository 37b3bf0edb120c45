/* jni_support.h - what all of our native methods need. */
#ifndef JNI_SUPPORT_H
#define JNI_SUPPORT_H

#include <jni.h>
#include <stddef.h>

/* The Kotlin object whose external functions these are: dev.bayespress.model.Native. */
#define NATIVE(result, name, ...)                                                                                      \
    JNIEXPORT result JNICALL Java_dev_bayespress_model_Native_##name(JNIEnv *env, jobject self, __VA_ARGS__);          \
    JNIEXPORT result JNICALL Java_dev_bayespress_model_Native_##name(JNIEnv *env, jobject self, __VA_ARGS__)

/* Throw a BundleException of one sentence. */
void throw_bundle_exception(JNIEnv *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A copy of a Java array's bytes, to be freed; NULL, with an exception pending, where there is no memory. */
void *copy_of(JNIEnv *env, jbyteArray array, size_t *size);

#endif /* JNI_SUPPORT_H */
