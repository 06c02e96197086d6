"""A headless Chromium, driven over its own DevTools protocol by a pair of pipes; and a TCP port that leads to a unix
socket, as `ssh -L` makes one."""
import base64
import fcntl
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

DEADLINE = float(os.environ.get("TEST_DEADLINE", "20"))
# Nothing but loopback is ever asked, whatever the browser would like to know.
FLAGS = ["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
         "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--disable-default-apps", "--no-pings", "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb",
         "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1", "--lang=en-GB"]


class BrowserError(AssertionError):
    pass


def find():
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


def high(fd):
    """The same descriptor beyond those that the child gets."""
    new = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return new


class Browser:
    """The process and the connection to it. Every call waits for its answer."""

    def __init__(self, program):
        self.place = tempfile.mkdtemp(prefix="mcpool-browser-")
        to_child, self.out = map(high, os.pipe())
        self.inp, from_child = map(high, os.pipe())

        def join():
            os.dup2(to_child, 3)
            os.dup2(from_child, 4)
        # Its sandbox needs a user other than root, or namespaces that containers often refuse; what it loads is ours.
        command = [program, *FLAGS, "--user-data-dir=" + self.place, "--no-sandbox", "about:blank"]
        self.log = open(os.path.join(self.place, "stderr"), "w+b")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        pass_fds=(3, 4), preexec_fn=join, start_new_session=True)
        os.close(to_child)
        os.close(from_child)
        self.changed = threading.Condition()
        self.answers, self.listeners, self.last, self.ended = {}, [], 0, False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        rest = b""
        while True:
            try:
                data = os.read(self.inp, 1 << 16)
            except OSError:
                data = b""
            with self.changed:
                if not data:
                    self.ended = True
                    self.changed.notify_all()
                    return
                *whole, rest = (rest + data).split(b"\0")
                for text in whole:
                    message = json.loads(text)
                    if "id" in message:
                        self.answers[message["id"]] = message
                    else:
                        for fn in self.listeners:
                            fn(message)
                self.changed.notify_all()

    def call(self, method, session=None, **params):
        with self.changed:
            self.last += 1
            number = self.last
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        with self.changed:
            if not self.changed.wait_for(lambda: number in self.answers or self.ended, DEADLINE * 3):
                raise BrowserError("Chromium does not answer %s" % method)
            if number not in self.answers:
                raise BrowserError("Chromium ended during %s:\n%s" % (method, self.said()))
            answer = self.answers.pop(number)
        if "error" in answer:
            raise BrowserError("%s: %s" % (method, answer["error"]))
        return answer["result"]

    def said(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-4000:]

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.close(self.out)
        self.thread.join(DEADLINE)
        os.close(self.inp)
        self.log.close()
        shutil.rmtree(self.place, ignore_errors=True)


class Page:
    """A tab, with everything that it complained about in `complaints`."""

    def __init__(self, browser):
        self.browser = browser
        self.complaints = []
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.listeners.append(self._listen)
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def _listen(self, message):
        if message.get("sessionId") != self.session:
            return
        what, p = message["method"], message["params"]
        if what == "Runtime.exceptionThrown":
            d = p["exceptionDetails"]
            self.complaints.append("exception: %s" % d.get("exception", {}).get("description", d["text"]))
        elif what == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
            self.complaints.append("console.%s: %s" % (p["type"], [a.get("value", a.get("description")) for a in p["args"]]))
        elif what == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            e = p["entry"]
            self.complaints.append("%s: %s %s" % (e["source"], e["text"], e.get("url", "")))

    def goto(self, url):
        error = self.call("Page.navigate", url=url).get("errorText")
        if error:
            raise BrowserError("%s: %s" % (url, error))

    def eval(self, script):
        """The value of an expression; promises are waited for."""
        r = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in r:
            d = r["exceptionDetails"]
            raise BrowserError("%s\n%s" % (script, d.get("exception", {}).get("description", d["text"])))
        return r["result"].get("value")

    def wait(self, script, what=None):
        """The first true value of an expression."""
        end = time.monotonic() + DEADLINE
        while True:
            value = self.eval(script)
            if value:
                return value
            if time.monotonic() > end:
                raise BrowserError("waiting for %s; the page says:\n%s\n%s" % (
                    what or script, self.eval("document.body.innerText")[:4000], "\n".join(self.complaints)))
            time.sleep(0.05)

    def click(self, selector):
        """With the mouse, where it is: what is covered or not there cannot be clicked."""
        spot = self.eval("""(() => { const n = document.querySelector(%s); n.scrollIntoView({block: 'center'});
            const r = n.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
            return {x, y, on: n.contains(document.elementFromPoint(x, y))}; })()""" % json.dumps(selector))
        if not spot["on"]:
            raise BrowserError("%s is covered by something else" % selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=spot["x"], y=spot["y"], button="left", clickCount=1)

    def press(self, key, code=0, text=""):
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def look(self, width, height, dark=False, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1,
                  mobile=phone)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def screenshot(self, path, whole=True):
        # Two frames: what a change of size or colours sets off has been drawn.
        self.eval("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))")
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))


class Tunnel:
    """127.0.0.1:port to a unix socket. cut() closes everything that goes through and refuses more until mend()."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.open = set()
        self.listener = None
        self.port = 0
        self.mend()

    def mend(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        self.listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self.path)
            except OSError:
                near.close()
                continue
            with self.lock:
                self.open |= {near, far}
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(a, b), daemon=True).start()

    def _pass(self, a, b):
        try:
            while data := a.recv(1 << 16):
                b.sendall(data)
        except OSError:
            pass
        self._shut(a)
        self._shut(b)

    def _shut(self, s):
        with self.lock:
            self.open.discard(s)
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self):
        self._shut(self.listener)
        self.listener.close()
        with self.lock:
            left = list(self.open)
        for s in left:
            self._shut(s)

    @property
    def url(self):
        return "http://localhost:%d/" % self.port
