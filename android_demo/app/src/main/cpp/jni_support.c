/* jni_support.c - exceptions and arrays. */
#include "jni_support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void throw_bundle_exception(JNIEnv *env, const char *format, ...) {
    char sentence[600];
    jclass type = (*env)->FindClass(env, "dev/bayespress/model/BundleException");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (type != NULL) { /* else another exception is pending already */
        (*env)->ThrowNew(env, type, sentence);
        (*env)->DeleteLocalRef(env, type);
    }
}

void *copy_of(JNIEnv *env, jbyteArray array, size_t *size) {
    const jsize length = (*env)->GetArrayLength(env, array);
    void *copy = malloc((size_t)length + 1);
    *size = (size_t)length;
    if (copy == NULL) {
        throw_bundle_exception(env, "There is no memory for %ld bytes; close other apps.", (long)length);
        return NULL;
    }
    (*env)->GetByteArrayRegion(env, array, 0, length, copy);
    return copy;
}
