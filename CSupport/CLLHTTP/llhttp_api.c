// llhttp's interface as Debian's package node-llhttp installs it; it includes llhttp.h, which stands in this folder.
#include "llhttp.h"
#include "/usr/share/llhttp/api.c"
