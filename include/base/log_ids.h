/* Every kind of event that is worth a query: journalctl MESSAGE_ID=… finds all of that kind. An id
 * is random, never changed and never reused; what an id means is said to operators in
 * systemd/mcpool.catalog, whose entries and subjects are checked against this table. */
#ifndef BASE_LOG_IDS_H
#define BASE_LOG_IDS_H

/* X(name, id, subject of the catalog entry) */
#define LOG_IDS(X)                                                                                 \
    /* the process */                                                                              \
    X(STARTED, "d1e078b1182b453385c461a35c9013d9", "mcpool starts")                                \
    X(READY, "f996c5c369ad4d2c8a02f0573af992ff", "mcpool is ready")                                \
    X(STOPPING, "9d7893e5e96841449dd15ceec98a24a0", "mcpool is stopping")                          \
    X(STOPPED, "455d6c3cf4314f9c8bce8ac083895885", "mcpool has stopped")                           \
    X(HANDED_OVER, "d539b3aa1c1a4d30a49963aea555f217",                                             \
      "Client connections were handed from one mcpool process to the next")                        \
    X(RELOADING, "6ff11501fc6f4eadb130385b68fb9d3f", "The configuration is being read again")      \
    X(RELOADED, "ecd7b8cce6614ccd8ad2de309f076c8b", "The configuration was reloaded")              \
    X(RELOAD_REFUSED, "c50d399e88e34645af805beae8907133",                                          \
      "The new configuration is not valid, the old one stays in force")                            \
    X(LISTENING, "ef0d1159967c4ccdb4fad76647ba8a5f", "mcpool listens at an address")               \
    X(LISTENING_ENDED, "c9ab5480c5084c0f85e6cd2b11bda357",                                         \
      "mcpool does not listen at an address any more")                                             \
    X(NOT_LISTENING, "c783dbd193fb47998cdc9be2bd84fc95", "mcpool cannot listen at an address")     \
    X(FATAL, "92ee7dabdf2c4e699169812cbc157d19", "mcpool cannot start")                            \
    X(SERVICE_MANAGER, "507c6a4570d049fba6561006a10f86c8",                                         \
      "Between mcpool and its service manager something is not as it should be")                   \
    X(WATCHDOG, "37018b6e82a442fcb9ceeb4ba2e4f685", "A part of mcpool does not run any more")      \
    X(EXPOSED, "71c57a0e528e4d8da08e936c80cd1f60", "mcpool is less protected than it could be")    \
    X(SHORTAGE, "f8f2c86517634a748b90a60c380ef88a", "A resource of the system has run short")      \
    X(STATE_UNSAVED, "cc046c479b924688999ddf182e9db8cb",                                           \
      "The state of client sessions cannot be saved")                                              \
    X(LOG_LEVEL, "d303eeebf43b456d9582ad4a641abd15", "The log level was changed")                  \
    X(LOG_LOST, "3be9761fc4084e54b2c1790b4b9782d3", "Lines of the log were lost")                  \
    /* servers and their connections */                                                            \
    X(SERVER_SKIPPED, "0c3853a9783e4cdbae998b4518481bac",                                          \
      "A configured server is not served: @SERVER@")                                               \
    X(SERVER_ADDED, "d1330f502fa6413ba1c728ea7e428feb",                                            \
      "Server @SERVER@ was added to the configuration")                                            \
    X(SERVER_REMOVED, "f61bd710f1354cb397fbf0682007f78c",                                          \
      "Server @SERVER@ was removed from the configuration")                                        \
    X(HEALTH, "32437fcb5aec4f0987dc086aa024632a", "The health of server @SERVER@ has changed")     \
    X(MODE, "d5347163b9c24ab09674c8b157379d9b", "The mode of server @SERVER@ was changed")         \
    X(RENEWED, "dbe4ebff179648f88879279a5c762b7a",                                                 \
      "The connections of server @SERVER@ are being renewed, or its settings have changed")        \
    X(BREAKER, "ff624ac8218843a59937c058bef89f6c",                                                 \
      "The circuit breaker of server @SERVER@ has changed its state")                              \
    X(FORCED_RECOVERY, "14d24614d7294df78b30294d82fa941e",                                         \
      "Server @SERVER@ is being recovered by force")                                               \
    X(CONN_READY, "c91f7cf4b5a54c1cbe85ca96350ba70a", "A connection to server @SERVER@ is ready")  \
    X(CONN_LOST, "7e0296450fd143b8aae1f2ff21c04d58", "A connection to server @SERVER@ was lost")   \
    X(CONN_WAITING, "3f63d90eff284cf7b86fa78b0db1c9ea",                                            \
      "A connection to server @SERVER@ waits for its next attempt")                                \
    X(CONN_SILENT, "3c4f172167a541eea67106d0c44c6c27",                                             \
      "A connection to server @SERVER@ has become silent, or speaks again")                        \
    X(ATTEMPT_FAILED, "e34c186d531849b5a56acd1948130ea7",                                          \
      "An attempt to connect to server @SERVER@ failed")                                           \
    X(CYCLE_END, "fc9c33dccef44f9ead16f7a9ff239df7",                                               \
      "A cycle of attempts to connect to server @SERVER@ ended without success")                   \
    X(RECOVERED, "47078433605a40f9ba23bc63090e270c",                                               \
      "A connection to server @SERVER@ has recovered")                                             \
    X(RECOVERY_AUDIT, "faefd3863f4c4b1db9d18c5932078aca",                                          \
      "A connection to server @SERVER@ had lost its way back and was repaired")                    \
    X(SERVER_CHANGED, "93f4c9eae10d49d1970026ace66c3148",                                          \
      "Server @SERVER@ is another than before its restart")                                        \
    X(TOOLS_CHANGED, "8d78f0d78c7845519981796140e4f795",                                           \
      "The tool definitions of server @SERVER@ have changed")                                      \
    X(SERVER_ASKS, "604302d444a64294ae193b7ab5555e2d",                                             \
      "Server @SERVER@ asks its clients questions")                                                \
    /* their processes */                                                                          \
    X(CHILD_STARTED, "1cc9d91acf204b5f9d38dab220d442ff",                                           \
      "A process of server @SERVER@ was started")                                                  \
    X(CHILD_EXIT, "caa6af5e8ac14ca5a17e1f8ff1dd9df2", "A process of server @SERVER@ has ended")    \
    X(CHILD_OUTPUT, "de4331e106744974913d172603288b94",                                            \
      "A process of server @SERVER@ wrote a line that is no message")                              \
    X(OUTPUT_SUPPRESSED, "44465631ecdd4f3882aba6f2aed6e36a",                                       \
      "Output of server @SERVER@ was not logged because there was too much of it")                 \
    X(BAD_MESSAGE, "9acd14fa012447c2826aee5b51ba07cc",                                             \
      "A message of server @SERVER@ was thrown away")                                              \
    /* clients */                                                                                  \
    X(CALL_FAILED, "28a01d04762747399e97500ea27d715e", "mcpool failed a call for @SERVER@")        \
    X(CALLS_SUPPRESSED, "36676b4219cb46c7af0c1fb4bf9385db",                                        \
      "Failed calls for @SERVER@ were not logged one by one")                                      \
    X(SESSION_OPENED, "dac5cb79a6f740859237fa3c16a72b4d", "A client session was opened")           \
    X(SESSION_REVIVED, "0a9a1fe4b3c04ddca30d50038fe95399",                                         \
      "A client session of an earlier process goes on")                                            \
    X(SESSION_ENDED, "d02a7a51e32e493eb0cef6c0f340d557", "A client session has ended")             \
    X(CLIENT_REFUSED, "e49f508ffff148c8829b414ba57dacc1", "A client was refused")                  \
    X(ASK_REFUSED, "42afe4e914a74aa6837e3773f8717390",                                             \
      "A question of server @SERVER@ found no client to answer it")

#define LOG_ID_DECLARE(name, id, subject) extern const char LOG_ID_##name[];
LOG_IDS(LOG_ID_DECLARE)
#undef LOG_ID_DECLARE

#endif
