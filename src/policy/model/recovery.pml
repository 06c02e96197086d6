/* One server with a pool of two slots, its circuit breaker, the sweep and the watchdog, for Spin.
 * `make model` checks it; scripts/model holds the list of runs. Semantics: include/policy/breaker.h
 * and recovery.h.
 *
 * What each part mirrors:
 *
 *   go, on_failure_outcome, on_success_outcome,    src/policy/breaker.c: set_state, breaker_on_outcome,
 *   on_ignored_outcome, on_handshake,              breaker_on_handshake, breaker_on_young_loss,
 *   on_young_loss, begin_trial, force_breaker      breaker_begin_trial, breaker_force
 *   proctype breaker_timer                         breaker_tick; src/upstream/guard.c: on_time, try_trial
 *   fail, lose                                     src/upstream/conn.c: conn_fail, on_closed; guard.c:
 *                                                  guard_on_failed_attempt, guard_on_loss;
 *                                                  recovery_on_failure, recovery_on_loss
 *   begin, handshake                               conn_open; guard_on_ready, recovery_on_ready
 *   wait_for_retry                                 src/upstream/recover.c: recover_enqueue;
 *                                                  recovery_delay, backoff_delay
 *   proctype slot, HAS_ROOM                        recover_due, recovery_room; what the transport reports
 *   proctype sweep, repair                         on_sweep, audit, repair, recover_kick
 *   proctype watchdog, force_slot                  recover_watch, recovery_is_overdue, server_recover,
 *                                                  force_slot
 *
 * An outcome carries no epoch here, but a bit that says whether the breaker has made a transition
 * since it began; each transition sets it everywhere.
 *
 * Time. Ticks are abstract: base 1, cap 4 (2 with -DSMALL), jitter 0 or 1, attempt 2, stable after
 * 1, open_for 3, trial 2, sweep 2, monitor 4, force after 8. Timers are countdowns. The daemon is one
 * thread, so each handler is one atomic step; those of one tick come in any order. What is due happens
 * before the next tick: `tick` waits for it. Hence no property needs fairness. The client and the
 * upstream may act but need not, and only with a tick; nothing else is bounded, and that time goes on
 * nevertheless is one of the properties (`time`): attempts without a wait would stop it.
 *
 * Environment. The upstream is UP, DOWN (refuses; what is connected dies), HANGs (an attempt that
 * meets this is never answered) or is FLAKY (accepts, and dies without an answer), and changes as it
 * likes. UP is a promise: an attempt begun then is answered before operation_timeout, a trial before
 * trial_timeout, and nothing dies. -DFAULT_TIMERS: any timer of a slot or of the breaker may fail to
 * fire when it is due, again and again. -DNO_SWEEP, -DNO_WATCHDOG: that part is broken and never runs.
 *
 * Left out: pauses (429), the ramp and auth_failed, which change neither the breaker's state nor the
 * queue; pacing across servers; retirement, modes,
 * renewal and shutdown. Teardown is instant. The failure rate is a
 * coin: any counted failure may open the breaker. RECOVERY_AT_ONCE is 1, since two slots cannot
 * exceed 3. A cycle of attempts is as long as the way to the cap, so that its end is the saturation of
 * `fails`. Trials are probes only: a client that may have its call made the trial, and takes it back,
 * again and again, keeps the breaker half-open for ever (BUG_CLIENT_TRIALS).
 *
 * -DBUG_... plants an error that a check must find. -DREACH=SEEN_... makes getting there an error: so
 * the checker shows that it does get there, and that nothing holds for want of such states. */

#define AT_ONCE 1
#ifdef SMALL
#define CAP 2
#define MAX_FAILS 2 /* delays 1, 2 */
#else
#define CAP 4
#define MAX_FAILS 3 /* delays 1, 2, 4 */
#endif
#define ATTEMPT 2
#define STABLE 1
#define THRESHOLD 2
#define OPEN_FOR 3
#define TRIAL 2
#define SUCCESSES 2
#define SWEEP 2
#define LOOK 4  /* the monitor's tick, a multiple of SWEEP */
#define FORCE 3 /* looks: 8 ticks have passed, at least */
#define LATEST (CAP + 1) /* the cap and the jitter */

#define SEEN_OPEN 1             /* the breaker opens */
#define SEEN_HALF_OPEN 2        /* its time is over */
#define SEEN_CLOSED_BY_TRIALS 3 /* a server that was well all the time */
#define SEEN_CLOSED_FROM_OPEN 4 /* by a handshake */
#define SEEN_WRITTEN_OFF 5      /* a lost trial */
#define SEEN_STALE 6            /* an outcome of an older epoch */
#define SEEN_READY_AGAIN 7      /* after failures up to the cap */
#define SEEN_YOUNG_LOSS 8
#define SEEN_NO_ROOM 9          /* due, but another attempt is under way */
#define SEEN_REPAIR_WAITING 10  /* the sweep meets a slot that waits without a timer */
#define SEEN_REPAIR_ATTEMPT 11  /* an attempt without one */
#define SEEN_FORCE 12           /* the watchdog uses force */
#define SEEN_FORCED_TRIAL 13    /* while a trial is in flight */
#define SEEN_BOTH_READY 14      /* after both had failed */
#ifndef REACH
#define REACH 0
#endif
#define SEEN(what) assert(what != REACH)
#define SEEN_IF(is_so, what) assert(!(is_so) || what != REACH)

/* ---- planted errors, where a macro can hold them ---- */

#ifdef BUG_STALE_EPOCH
#define COUNTS(old) true
#else
#define COUNTS(old) (!(old))
#endif
#ifdef BUG_NO_ROOM_CHECK
#define HAS_ROOM true
#else
#define HAS_ROOM (attempting < AT_ONCE)
#endif
#ifdef BUG_BREAKER_BLOCKS_RECOVERY
#define MAY_BEGIN (br != OPEN)
#else
#define MAY_BEGIN true
#endif
#ifdef BUG_TWO_TRIALS
#define TRIAL_FREE true
#else
#define TRIAL_FREE (!trial)
#endif

/* ---- state ---- */

#define DOWN 0
#define UP 1
#define HANG 2
#define FLAKY 3
byte mode = UP;

#define WAITING 0
#define ATTEMPTING 1
#define READY 2
#define DROPPED 3 /* by planted errors only */
byte phase[2];
byte left[2]; /* WAITING, ATTEMPTING: to the due time; READY: until it is stable or has answered */
bool armed[2] = true; /* what is to happen at left = 0 will happen */
byte fails[2];
bool hung[2];    /* ATTEMPTING: no answer will come */
bool old_try[2]; /* ATTEMPTING: began before the breaker's last transition */

#define CLOSED 0
#define OPEN 1
#define HALF_OPEN 2
byte br;
byte failures;
bool suspended; /* before_reset > 0 or closed_unproven; with a threshold of 2 that is the same */
byte won;
bool trial;
byte br_left; /* to the end of OPEN, or of the trial */
bool br_armed;

/* A client's call in flight, and a probe, which is always a trial. */
#define NONE 0
#define CALL 1
#define TRIAL_CALL 2
#define OLD_CALL 3 /* begun before the breaker's last transition */
byte call;
byte probe; /* how many; never more than 1 */

byte clock; /* ticks, modulo the longest period */
bool sweep_due;
byte unwell; /* looks of the monitor since the later of unwell_since and forced_at */
byte lonely; /* the same of empty_since */

/* Tossed before a step, put back by it. */
bool jitter;
bool fatal;
bool rate;
bool refused;

#define some_ready (phase[0] == READY || phase[1] == READY)
#define all_ready (phase[0] == READY && phase[1] == READY)
#define attempting ((phase[0] == ATTEMPTING) + (phase[1] == ATTEMPTING))
#define trials (probe + (call == TRIAL_CALL))

inline toss()
{
    if
    :: true
    :: jitter = 1
    :: fatal = 1
    :: mode == DOWN -> fatal = 1; refused = 1
    fi;
    if
    :: true
    :: br == CLOSED && failures + 1 < THRESHOLD -> rate = 1
    fi
}

inline put_back()
{
    jitter = 0; fatal = 0; rate = 0; refused = 0
}

/* ---- breaker ---- */

inline go(new)
{
    assert((br == CLOSED && new == OPEN) || (br == OPEN && new == HALF_OPEN) || br == HALF_OPEN);
    br = new;
    won = 0;
    trial = 0;
    br_left = (br == OPEN -> OPEN_FOR : 0);
    br_armed = (br == OPEN);
    old_try[0] = (phase[0] == ATTEMPTING);
    old_try[1] = (phase[1] == ATTEMPTING);
    probe = 0; /* what it still brings is no different from the outcome of an old call */
    call = (call == NONE -> NONE : OLD_CALL);
    if
    :: br == CLOSED ->
        failures = 0;
        unwell = 0
    :: else
    fi
}

inline on_failure_outcome(old)
{
    if
    :: COUNTS(old) && br == CLOSED ->
        failures++;
        if
        :: failures >= THRESHOLD || rate ->
            SEEN(SEEN_OPEN);
            assert(!(old)); /* an older epoch must not move it */
            failures = THRESHOLD;
            suspended = 0;
            go(OPEN)
        :: else
        fi
    :: COUNTS(old) && br == HALF_OPEN ->
        assert(!(old));
        go(OPEN)
    :: else ->
        SEEN_IF(old, SEEN_STALE)
    fi
}

inline on_success_outcome(old, of_trial)
{
    if
    :: COUNTS(old) && br == CLOSED ->
        failures = 0;
        suspended = 0
    :: COUNTS(old) && br == HALF_OPEN ->
        if
        :: of_trial ->
            trial = 0;
            br_armed = 0;
            br_left = 0
        :: else
        fi;
        won++;
        if
        :: won >= SUCCESSES ->
            SEEN(SEEN_CLOSED_BY_TRIALS);
            assert(!(old));
            go(CLOSED)
        :: else
        fi
    :: else
    fi
}

inline on_ignored_outcome(old, of_trial)
{
    if
    :: COUNTS(old) && br == HALF_OPEN && of_trial ->
        trial = 0;
        br_armed = 0;
        br_left = 0
    :: else
    fi
}

inline on_handshake()
{
#ifndef BUG_YOUNG_FORGIVEN
    suspended = suspended || failures > 0 || br != CLOSED;
#endif
    failures = 0;
    if
    :: br == OPEN ->
        SEEN(SEEN_CLOSED_FROM_OPEN);
        go(HALF_OPEN);
        go(CLOSED)
    :: br == HALF_OPEN ->
        go(CLOSED)
    :: else
    fi
}

/* The failure itself follows. */
inline on_young_loss()
{
    SEEN(SEEN_YOUNG_LOSS);
    if
    :: br == CLOSED && suspended -> failures = THRESHOLD - 1
    :: else
    fi;
    suspended = 0
}

inline begin_trial()
{
    trial = 1;
    br_left = TRIAL;
    br_armed = 1
}

inline force_breaker()
{
    failures = 0;
    suspended = 0;
    if
    :: br != CLOSED ->
        SEEN_IF(trial, SEEN_FORCED_TRIAL);
        go(HALF_OPEN)
    :: else
#ifdef BUG_FORCE_ILLEGAL
        -> go(HALF_OPEN)
#endif
    fi
}

/* ---- slots ---- */

inline begin(i)
{
    assert(attempting < AT_ONCE);
    phase[i] = ATTEMPTING;
    left[i] = ATTEMPT;
    armed[i] = 1;
    hung[i] = (mode == HANG);
    old_try[i] = 0
}

/* After a failure was counted in fails[i]: onto the recovery queue. */
inline wait_for_retry(i)
{
    phase[i] = WAITING;
    hung[i] = 0;
    old_try[i] = 0;
    armed[i] = 1;
#ifdef BUG_NEVER_RESET
    left[i] = (1 << fails[i]) / 2;
#else
    left[i] = (fatal || fails[i] >= MAX_FAILS -> CAP : (1 << fails[i]) / 2);
#endif
    left[i] = left[i] + (left[i] > 0 && jitter);
#ifdef BUG_FORGET_TIMER
    armed[i] = 0;
#endif
#ifdef BUG_DROP_SLOT
    phase[i] = DROPPED;
    left[i] = 0;
    armed[i] = 0;
#endif
#ifdef BUG_END_AFTER_MAX
    if
    :: fails[i] >= MAX_FAILS ->
        phase[i] = DROPPED;
        left[i] = 0;
        armed[i] = 0
    :: else
    fi
#endif
}

inline fail(i)
{
#ifdef BUG_NEVER_RESET
    fails[i] = fails[i] + (fails[i] < MAX_FAILS + 2);
#else
    fails[i] = fails[i] + (fails[i] < MAX_FAILS);
#endif
    if
    :: refused || (some_ready && br != HALF_OPEN) ->
        /* 401 says nothing about its health, nor does one that fails beside one that is well. Not
         * the trial's outcome, so nothing to report. */
#ifdef BUG_IGNORED_ENDS_TRIAL
        on_ignored_outcome(old_try[i], true);
#endif
        skip
    :: else -> on_failure_outcome(old_try[i])
    fi;
    wait_for_retry(i);
    put_back()
}

inline handshake(i)
{
    SEEN_IF(fails[i] == MAX_FAILS, SEEN_READY_AGAIN);
    SEEN_IF(fails[i] > 0 && fails[1 - i] > 0 && phase[1 - i] == READY, SEEN_BOTH_READY);
    phase[i] = READY;
    left[i] = STABLE;
    armed[i] = 0;
    hung[i] = 0;
    old_try[i] = 0;
    on_handshake();
    lonely = 0
}

/* A ready connection is gone, with (hit) or without a request on it. */
inline lose(i, hit)
{
    if
    :: left[i] > 0 ->
        on_young_loss();
        on_failure_outcome(false)
    :: else ->
        fails[i] = 0;
        if
        :: hit -> on_failure_outcome(false)
        :: else
        fi
    fi;
#ifndef BUG_HOT_LOOP
    if
    :: left[i] > 0 && fails[i] < MAX_FAILS -> fails[i]++ /* a handshake alone takes nothing back */
    :: else
    fi;
#else
    fails[i] = 0;
#endif
    fatal = 0;
    wait_for_retry(i);
    put_back()
}

proctype slot(byte i)
{
    do
    /* The timer. */
    :: atomic {
           phase[i] == WAITING && armed[i] && left[i] == 0 && MAY_BEGIN ->
           d_step {
               if
               :: HAS_ROOM -> begin(i)
               :: else ->
                   SEEN(SEEN_NO_ROOM);
#ifdef BUG_NO_ROOM_FORGETS
                   armed[i] = 0
#else
                   left[i] = 1 /* look again */
#endif
               fi
           }
       }
    :: atomic { phase[i] == ATTEMPTING && armed[i] && left[i] == 0 -> toss(); d_step { fail(i) } }
    /* The transport. */
    :: atomic {
           phase[i] == ATTEMPTING && !hung[i] && (mode == UP || mode == FLAKY) ->
           d_step { handshake(i) }
       }
    :: atomic { phase[i] == ATTEMPTING && !hung[i] && mode == DOWN -> toss(); d_step { fail(i) } }
    :: atomic {
           phase[i] == READY && mode != UP ->
           toss();
           if
           :: d_step { lose(i, true) }
           :: d_step { lose(i, false) }
           fi
       }
    od
}

proctype breaker_timer()
{
    do
    :: d_step { br == OPEN && br_armed && br_left == 0 -> SEEN(SEEN_HALF_OPEN);
#ifdef BUG_BREAKER_BLOCKS_RECOVERY
                br_armed = 0
#else
                go(HALF_OPEN)
#endif
       }
    :: d_step { br == HALF_OPEN && trial && br_armed && br_left == 0 -> SEEN(SEEN_WRITTEN_OFF);
#ifdef BUG_PIN_TRIAL
                br_armed = 0
#else
                go(OPEN)
#endif
       }
    /* A probe is the trial, where something is ready to be probed. */
    :: d_step { br == HALF_OPEN && TRIAL_FREE && probe < 2 && some_ready ->
                begin_trial();
                probe++ }
    od
}

/* ---- what looks after all that ---- */

inline repair(i)
{
    if
    :: phase[i] == WAITING && left[i] == 0 && HAS_ROOM && MAY_BEGIN ->
        SEEN_IF(!armed[i], SEEN_REPAIR_WAITING);
        begin(i)
    :: phase[i] == ATTEMPTING && !armed[i] && left[i] == 0 ->
        SEEN(SEEN_REPAIR_ATTEMPT);
#ifdef BUG_REPAIR_ARMS_ANEW
        left[i] = ATTEMPT;
        armed[i] = 1
#else
        fail(i)
#endif
    :: (phase[i] == WAITING || phase[i] == ATTEMPTING) && !armed[i] && left[i] > 0 ->
        armed[i] = 1
    :: else
    fi
}

proctype sweep()
{
    do
    :: atomic {
           sweep_due ->
           toss();
           d_step {
               sweep_due = 0;
               repair(0);
               repair(1);
               put_back()
           }
       }
    od
}

inline force_slot(i)
{
    if
#ifdef BUG_FORCE_SPARES_ATTEMPTS
    :: phase[i] == WAITING ->
#else
    :: phase[i] == WAITING || phase[i] == ATTEMPTING ->
#endif
        phase[i] = WAITING;
        hung[i] = 0;
        old_try[i] = 0;
        fails[i] = 0;
        left[i] = 0;
        armed[i] = 1
    :: else
    fi
}

inline begin_if_room(i)
{
    if
    :: phase[i] == WAITING && HAS_ROOM && MAY_BEGIN -> begin(i)
    :: else
    fi
}

proctype watchdog()
{
    do
    :: d_step {
           unwell >= FORCE || lonely >= FORCE ->
           SEEN(SEEN_FORCE);
           unwell = 0;
           lonely = 0;
           force_breaker();
           force_slot(0);
           force_slot(1);
           begin_if_room(0);
           begin_if_room(1)
       }
    od
}

/* ---- the world ---- */

/* A real answer on one of those that are ready. */
inline prove()
{
    if
    :: phase[0] == READY -> left[0] = 0
    :: phase[1] == READY -> left[1] = 0
    fi
}

/* Calls and probes. Their connection is not tracked: a failure may come whenever the upstream is not
 * UP, beside what a lost connection tells by itself. */
proctype requests()
{
    do
#ifdef BUG_CLIENT_TRIALS
    :: d_step {
           call == NONE && some_ready && br == HALF_OPEN && TRIAL_FREE ->
           begin_trial();
           call = TRIAL_CALL
       }
#endif
    /* It is answered, */
    :: atomic {
           call != NONE && mode == UP && some_ready ->
           prove();
           d_step {
               on_success_outcome(call == OLD_CALL, call == TRIAL_CALL);
               call = NONE
           }
       }
    :: atomic {
           probe > 0 && mode == UP && some_ready ->
           prove();
           d_step {
               probe--;
               on_success_outcome(false, true)
           }
       }
    /* fails, */
    :: atomic {
           call != NONE && mode != UP ->
           toss();
           d_step {
               on_failure_outcome(call == OLD_CALL);
               call = NONE;
               put_back()
           }
       }
    :: d_step {
           probe > 0 && mode != UP ->
           probe--;
           on_failure_outcome(false)
       }
    /* or nothing is ever heard of it. */
    :: d_step { call != NONE && mode != UP -> call = NONE }
    :: d_step { probe > 0 && mode != UP -> probe-- }
    od
}

#ifdef FAULT_TIMERS
proctype timer_thief()
{
    do
    :: d_step { armed[0] && left[0] == 0 -> armed[0] = 0 }
    :: d_step { armed[1] && left[1] == 0 -> armed[1] = 0 }
    :: d_step { br_armed && br_left == 0 -> br_armed = 0 }
    od
}
#endif

/* ---- time ---- */

inline become(new)
{
    d_step {
        mode != new ->
        mode = new;
        hung[0] = hung[0] || (new == HANG && phase[0] == ATTEMPTING);
        hung[1] = hung[1] || (new == HANG && phase[1] == ATTEMPTING)
    }
}

/* Nothing is to happen at this slot before time goes on. */
#define SETTLED(i) \
    (!(armed[i] && left[i] == 0 && (phase[i] == ATTEMPTING || (phase[i] == WAITING && MAY_BEGIN))) && \
     !(phase[i] == ATTEMPTING && !hung[i] && mode == DOWN) && \
     !(phase[i] == ATTEMPTING && !hung[i] && left[i] <= 1 && (mode == UP || mode == FLAKY)) && \
     !(phase[i] == READY && (mode == DOWN || mode == FLAKY)))
#define BREAKER_SETTLED \
    (!(br_armed && br_left == 0) && !(br == HALF_OPEN && !trial && some_ready) && \
     !(mode == UP && some_ready && br_left <= 1 && trials > 0))

#ifdef NO_SWEEP
#define SWEEP_SETTLED true
#else
#define SWEEP_SETTLED (!sweep_due)
#endif
#ifdef NO_WATCHDOG
#define WATCHDOG_SETTLED true
#else
#define WATCHDOG_SETTLED (unwell < FORCE && lonely < FORCE)
#endif

/* Section 3's invariant, and what belongs to each state. */
#ifdef FAULT_TIMERS
#define WILL_WAKE(i) true
#else
#define WILL_WAKE(i) (armed[i])
#endif
#define SOUND(i) \
    (phase[i] == READY || \
     ((phase[i] == WAITING || phase[i] == ATTEMPTING) && left[i] <= LATEST && WILL_WAKE(i)))

#define STABLE_NOW(i) (phase[i] == READY && left[i] == 1)

/* The slots are alike: a state and its mirror image are one, which halves the work. */
#define CODE(i) \
    (((((phase[i] * 8 + left[i]) * 8 + fails[i]) * 2 + armed[i]) * 2 + hung[i]) * 2 + old_try[i])
#define SWAP(what) scratch = what[0]; what[0] = what[1]; what[1] = scratch

inline sort_slots()
{
    if
    :: CODE(0) > CODE(1) ->
        SWAP(phase);
        SWAP(left);
        SWAP(fails);
        SWAP(armed);
        SWAP(hung);
        SWAP(old_try);
        scratch = 0
    :: else
    fi
}

/* -DREADY_WITHIN=n, -DCLOSED_WITHIN=n: so many ticks after the upstream came up, at most. */
#if defined(READY_WITHIN) || defined(CLOSED_WITHIN)
byte late_for;
#endif

inline be_quick()
{
#ifdef READY_WITHIN
    late_for = (mode == UP && !some_ready -> late_for + 1 : 0);
    assert(late_for <= READY_WITHIN);
#endif
#ifdef CLOSED_WITHIN
    late_for = (mode == UP && br != CLOSED -> late_for + 1 : 0);
    assert(late_for <= CLOSED_WITHIN);
#endif
    skip
}

#define ONE_LESS(x) x = x - (x > 0)

proctype tick()
{
    byte scratch;
    do
    :: atomic {
           SETTLED(0) && SETTLED(1) && BREAKER_SETTLED && SWEEP_SETTLED && WATCHDOG_SETTLED ->
           d_step {
               assert(SOUND(0) && SOUND(1));
               assert(!trial || br == HALF_OPEN);
               assert(trials <= 1);
               suspended = suspended && !STABLE_NOW(0) && !STABLE_NOW(1); /* on_stable */
               ONE_LESS(left[0]);
               ONE_LESS(left[1]);
               sort_slots();
               be_quick();
               ONE_LESS(br_left);
               clock = (clock + 1) % LOOK;
#ifndef NO_SWEEP
               sweep_due = (clock % SWEEP == 0);
#endif
#ifndef NO_WATCHDOG
               if
               :: clock == 0 ->
                   unwell = unwell + (br != CLOSED);
                   lonely = lonely + (!some_ready)
               :: else
               fi
#endif
           }
           /* The client begins ordinary calls, and takes back any, with a tick only. */
           if
           :: true
           :: d_step { call == NONE && some_ready && br == CLOSED -> call = CALL }
           :: d_step {
                  call != NONE ->
                  on_ignored_outcome(call == OLD_CALL, call == TRIAL_CALL);
                  call = NONE
              }
           fi;
           /* So does the upstream change. */
           if
           :: true
           :: become(UP)
           :: become(DOWN)
           :: become(HANG)
           :: become(FLAKY)
           fi
       }
    od
}

init
{
    atomic {
        run slot(0);
        run slot(1);
        run breaker_timer();
#ifndef NO_SWEEP
        run sweep();
#endif
#ifndef NO_WATCHDOG
        run watchdog();
#endif
        run requests();
#ifdef FAULT_TIMERS
        run timer_thief();
#endif
        run tick()
    }
}

ltl ready { (<>[] (mode == UP)) -> (<>[] some_ready) }
ltl all { (<>[] (mode == UP)) -> (<>[] all_ready) }
ltl closed { (<>[] (mode == UP)) -> (<>[] (br == CLOSED)) }
ltl opens { (<>[] (mode == FLAKY)) -> ([]<> (br == OPEN)) }
ltl time { ([]<> (clock == 0)) && ([]<> (clock != 0)) }
/* False, and found to be: the premises above can come true. */
ltl never_up_for_good { !(<>[] (mode == UP)) }
ltl never_flaky_for_good { !(<>[] (mode == FLAKY)) }
