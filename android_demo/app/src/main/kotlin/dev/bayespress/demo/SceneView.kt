package dev.bayespress.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import dev.bayespress.model.Anchor
import dev.bayespress.model.Box
import dev.bayespress.model.Label
import dev.bayespress.model.Scene

/** Draws a chart in the available width, scaled by the user's font size. */
class SceneView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val palette = Palette(context)
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG)
    private val unit = resources.displayMetrics.density * resources.configuration.fontScale
    private var make: ((Float) -> Scene)? = null
    private var scene: Scene? = null

    /** Show the chart that [make] returns for the available width; null shows nothing. */
    fun show(make: ((Float) -> Scene)?) {
        this.make = make
        visibility = if (make == null) GONE else VISIBLE
        compose(width)
        requestLayout()
        invalidate()
    }

    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val width = MeasureSpec.getSize(widthMeasureSpec)
        compose(width)
        val height = ((scene?.height ?: 0f) * unit).toInt()
        setMeasuredDimension(width, resolveSize(height, heightMeasureSpec))
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        for (shape in scene?.shapes.orEmpty()) {
            when (shape) {
                is Box -> {
                    paint.color = palette.of(shape.tone)
                    canvas.drawRect(
                        shape.x * unit, shape.y * unit, (shape.x + shape.width) * unit, (shape.y + shape.height) * unit,
                        paint,
                    )
                }
                is Label -> {
                    paint.color = palette.of(shape.tone)
                    paint.textSize = shape.size * unit
                    paint.textAlign = when (shape.anchor) {
                        Anchor.START -> Paint.Align.LEFT
                        Anchor.MIDDLE -> Paint.Align.CENTER
                        Anchor.END -> Paint.Align.RIGHT
                    }
                    canvas.drawText(shape.text, shape.x * unit, shape.y * unit, paint)
                }
            }
        }
    }

    private fun compose(width: Int) {
        scene = if (width > 0) make?.invoke(width / unit) else null
        contentDescription = scene?.description
    }
}
