#include "reckon.h"

static long values[64];
static unsigned height;

void push(long value)
{
    if (height < 64) {
        values[height++] = value;
    }
}

long pop(void)
{
    return height > 0 ? values[--height] : 0;
}
