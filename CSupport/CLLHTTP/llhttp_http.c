// llhttp's rules of HTTP as Debian's package node-llhttp installs them; they include llhttp.h, which stands in this folder.
#include "llhttp.h"
#include "/usr/share/llhttp/http.c"
