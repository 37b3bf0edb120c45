package dev.bayespress.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.os.Bundle
import android.os.Parcelable
import android.util.AttributeSet
import android.view.MotionEvent
import android.view.View
import dev.bayespress.model.Digit
import dev.bayespress.model.Point
import dev.bayespress.model.Tone

/** A view for drawing a digit with a finger. The drawing is kept when the phone is turned. */
class DigitView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    /** Called at the end of a stroke, and after [clear]. */
    var onDrawn: ((Digit) -> Unit)? = null

    private val palette = Palette(context)
    private val strokes = mutableListOf<MutableList<Point>>()
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG).apply { strokeCap = Paint.Cap.ROUND }

    /** The current drawing. */
    val digit: Digit get() = Digit(strokes.map { it.toList() })

    /** Remove all strokes. */
    fun clear() {
        strokes.clear()
        changed()
    }

    override fun onTouchEvent(event: MotionEvent): Boolean {
        when (event.actionMasked) {
            MotionEvent.ACTION_DOWN -> {
                parent.requestDisallowInterceptTouchEvent(true) // otherwise a stroke would scroll the screen
                strokes += mutableListOf(place(event.x, event.y))
            }
            MotionEvent.ACTION_MOVE -> {
                for (index in 0 until event.historySize) {
                    strokes.lastOrNull()?.add(place(event.getHistoricalX(index), event.getHistoricalY(index)))
                }
                strokes.lastOrNull()?.add(place(event.x, event.y))
            }
            MotionEvent.ACTION_UP -> {
                performClick()
                changed()
            }
            MotionEvent.ACTION_CANCEL -> strokes.removeLastOrNull()
        }
        invalidate()
        return true
    }

    override fun performClick(): Boolean {
        super.performClick()
        return true
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        canvas.drawColor(palette.of(Tone.TRACK))
        paint.color = palette.of(Tone.INK)
        paint.strokeWidth = width / 14f
        for (stroke in strokes) {
            stroke.firstOrNull()?.let { canvas.drawPoint(it.x * width, it.y * height, paint) }
            stroke.zipWithNext { a, b -> canvas.drawLine(a.x * width, a.y * height, b.x * width, b.y * height, paint) }
        }
    }

    override fun onSaveInstanceState(): Parcelable = Bundle().apply {
        putParcelable(PARENT, super.onSaveInstanceState())
        putInt(COUNT, strokes.size)
        strokes.forEachIndexed { index, stroke ->
            putFloatArray("$index", FloatArray(2 * stroke.size) { if (it % 2 == 0) stroke[it / 2].x else stroke[it / 2].y })
        }
    }

    override fun onRestoreInstanceState(state: Parcelable?) {
        val saved = state as? Bundle ?: return super.onRestoreInstanceState(state)
        @Suppress("DEPRECATION") // its replacement requires a newer API than 24
        super.onRestoreInstanceState(saved.getParcelable(PARENT))
        strokes.clear()
        for (index in 0 until saved.getInt(COUNT)) {
            val numbers = saved.getFloatArray("$index") ?: continue
            strokes += MutableList(numbers.size / 2) { Point(numbers[2 * it], numbers[2 * it + 1]) }
        }
        changed()
    }

    /** The touched point in fractions of the view's size, because the size may change later. */
    private fun place(x: Float, y: Float) = Point(x / width, y / height)

    private fun changed() {
        invalidate()
        onDrawn?.invoke(digit)
    }

    private companion object {
        const val PARENT = "parent"
        const val COUNT = "count"
    }
}
