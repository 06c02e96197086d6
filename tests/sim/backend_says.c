/* What a server says: answers, questions, notifications, and things that it should not. */
#include "sim.h"

/* ---- answers ---- */

/* What its lists contain; changes with its list_version. */
static size_t write_list(char *out, size_t cap, enum mcp_method method, unsigned v)
{
    int n = 0;
    switch ((int)method) {
    case MCP_TOOLS_LIST:
        n = snprintf(out, cap,
                     ",\"tools\":[{\"name\":\"rw\",\"inputSchema\":{\"type\":\"object\"}},"
                     "{\"name\":\"ro\",\"inputSchema\":{\"type\":\"object\"},\"annotations\":{"
                     "\"readOnlyHint\":true}},{\"name\":\"idem\",\"inputSchema\":{\"type\":"
                     "\"object\"},\"annotations\":{\"idempotentHint\":true}},{\"name\":\"v%u\","
                     "\"inputSchema\":{\"type\":\"object\"}}]",
                     v);
        break;
    case MCP_PROMPTS_LIST:
        n = snprintf(out, cap, ",\"prompts\":[{\"name\":\"v%u\"}]", v);
        break;
    case MCP_RESOURCES_LIST:
        n = snprintf(out, cap, ",\"resources\":[{\"uri\":\"v:%u\",\"name\":\"v\"}]", v);
        break;
    case MCP_RESOURCES_TEMPLATES_LIST:
        n = snprintf(out, cap, ",\"resourceTemplates\":[]");
        break;
    default:
        break;
    }
    return (size_t)n;
}

static size_t write_answer(char *out, size_t cap, const struct proc *p, const struct job *j)
{
    size_t n;
    if (j->refuse || (j->nonce && !sim.calm && chance(10)))
        return (size_t)snprintf(out, cap,
                                "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32000,"
                                "\"message\":\"no\"}}",
                                (unsigned long long)j->id);
    n = (size_t)snprintf(
        out, cap, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"server\":%u,\"method\":\"%s\"",
        (unsigned long long)j->id, p->of->index + 1, mcp_method_name(j->method));
    if (j->nonce)
        n += (size_t)snprintf(out + n, cap - n, ",\"nonce\":%u", j->nonce);
    size_t list = write_list(out + n, cap - n, j->method, p->list_version);
    if (list > 0)
        n += list + (size_t)snprintf(out + n + list, cap - n - list, ",\"version\":%u",
                                     p->list_version + 1);
    n += (size_t)snprintf(out + n, cap - n, "}}");
    return n;
}

static void answer_is_on_its_way(struct proc *p, const struct job *j)
{
    p->answered_ids[p->answered_n++ % ARRAY_LEN(p->answered_ids)] = j->id;
    if (j->nonce)
        sim.reqs[j->nonce].server_answered = true;
}

void backend_answers(struct proc *p, unsigned i)
{
    char text[1800];
    size_t n = 0;
    if (i >= p->job_n)
        return;
    struct job j = p->jobs[i];
    p->job_n--;
    memmove(p->jobs + i, p->jobs + i + 1, (p->job_n - i) * sizeof(j));
    answer_is_on_its_way(p, &j);
    if (i > 0)
        sim.faults[FAULT_answer_reordered]++;
    bool twice = !sim.calm && chance(4);
    if (p->old && chance(30)) {
        text[n++] = '[';
        n += write_answer(text + n, sizeof(text) - n - 2, p, &j);
        if (twice) {
            text[n++] = ',';
            n += write_answer(text + n, sizeof(text) - n - 2, p, &j);
        }
        text[n++] = ']';
        text[n] = '\0';
    } else {
        write_answer(text, sizeof(text), p, &j);
    }
    proc_says(p, "%s", text);
    if (!twice)
        return;
    struck(FAULT_answer_twice);
    if (proc_talks(p))
        proc_says(p, "%s", text);
}

void backend_answers_all(struct proc *p)
{
    while (proc_talks(p) && p->job_n)
        backend_answers(p, 0);
}

/* ---- questions ---- */

/* A request on whose behalf p may speak: it has it, or had it a moment ago and was told to stop. */
static unsigned subject(const struct proc *p, bool interactive)
{
    unsigned chosen = 0, n = 0;
    for (unsigned i = 1; i <= sim.req_n; i++) {
        const struct req *r = &sim.reqs[i];
        bool ghost = !r->open && r->interactive && !r->server_answered &&
                     sim.env.now < r->ended_at + GHOST_LIFE;
        if (r->at == p && (r->open || ghost) && (r->interactive || !interactive) && upto(++n) == 0)
            chosen = i;
    }
    return chosen;
}

static void asks(struct proc *p)
{
    static const char *const methods[] = {"sampling/createMessage", "elicitation/create",
                                          "roots/list"};
    unsigned n = sim.quest_n, of = chance(80) ? subject(p, true) : 0;
    if (n == QUESTS_MAX)
        return;
    sim.quest_n++;
    sim.quests[n] = (struct quest){.at = p, .of = of};
    proc_says(p,
              "{\"jsonrpc\":\"2.0\",\"id\":\"q%u\",\"method\":\"%s\",\"params\":{\"quest\":%u,%s"
              "\"elicitationId\":\"e%u\",\"_meta\":{\"progressToken\":\"q%u\"}}}",
              n, methods[upto(ARRAY_LEN(methods))], n, chance(50) ? "\"mode\":\"url\"," : "", n, n);
}

/* What a question by URL has led to may be announced long after it was answered. */
static void completes(struct proc *p)
{
    unsigned n = sim.quest_n ? upto(sim.quest_n) : 0;
    if (sim.quests[n].at == p)
        proc_says(p,
                  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/elicitation/complete\","
                  "\"params\":{\"elicitationId\":\"e%u\"}}",
                  n);
}

static void takes_question_back(struct proc *p)
{
    for (unsigned i = 0; i < sim.quest_n; i++) {
        struct quest *q = &sim.quests[i];
        if (q->at != p || q->answered || q->withdrawn)
            continue;
        q->withdrawn = true;
        proc_says(p,
                  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                  "\"requestId\":\"q%u\"}}",
                  i);
        return;
    }
}

/* ---- notifications ---- */

void backend_updates(struct proc *p, int uri)
{
    if (p->subscribed[uri])
        proc_says(p,
                  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\","
                  "\"params\":{\"uri\":\"%s\"}}",
                  uri_of(uri));
}

static void notifies(struct proc *p)
{
    static const char *const lists[] = {"tools", "prompts", "resources"};
    switch (upto(5)) {
    case 0:
        if (p->job_n)
            proc_says(p,
                      "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
                      "\"progressToken\":%llu,\"progress\":%u}}",
                      (unsigned long long)p->jobs[upto(p->job_n)].id, upto(10));
        return;
    case 1:
        proc_says(p,
                  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":"
                  "\"%s\",\"data\":{\"of\":%u}}}",
                  mcp_log_level_name(upto(8)), subject(p, false));
        return;
    case 2:
        proc_says(p, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/%s/list_changed\"}",
                  lists[upto(3)]);
        return;
    default:
        backend_updates(p, (int)upto(URIS));
        return;
    }
}

void backend_step(void)
{
    struct proc *p = some_proc(true);
    unsigned die = upto(100);
    if (!p)
        return;
    if (die < 60)
        backend_answers(p, p->job_n ? chance(70) ? 0 : upto(p->job_n) : 0);
    else if (die < 65)
        completes(p);
    else if (die < 80)
        notifies(p);
    else if (die < 96)
        asks(p);
    else
        takes_question_back(p);
    turn();
}
