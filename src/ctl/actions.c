/* mcpoolctl recover and mcpoolctl metrics: one request, its answer printed. */
#include "ctl/ctl.h"
#include "ctl/screen.h"
#include "ctl/view.h"

enum ctl_exit ctl_recover(const struct ctl_options *o)
{
    struct style style = screen_style();
    struct ctl_answer a;
    struct buf why = BUF_INIT, out = BUF_INIT;
    bool ok = ctl_ask(o, "POST", "/recover", CTL_WANTS_DOC, &a, &why);
    if (!ok) {
        ctl_complain(buf_peek(&why));
    } else {
        if (o->json)
            buf_append_slice(&out, buf_peek(&a.body));
        else
            view_recovered(a.doc, &style, &out);
        ok = ctl_print(buf_peek(&out));
    }
    ctl_answer_done(&a);
    buf_done(&why);
    buf_done(&out);
    return ok ? CTL_OK : CTL_FAILED;
}

enum ctl_exit ctl_metrics(const struct ctl_options *o)
{
    struct ctl_answer a;
    struct buf why = BUF_INIT;
    bool ok = ctl_ask(o, "GET", "/metrics", CTL_WANTS_TEXT, &a, &why);
    if (ok)
        ok = ctl_print(buf_peek(&a.body));
    else
        ctl_complain(buf_peek(&why));
    ctl_answer_done(&a);
    buf_done(&why);
    return ok ? CTL_OK : CTL_FAILED;
}
