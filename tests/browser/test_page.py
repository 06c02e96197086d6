"""The status page, in a real browser, of a real daemon whose servers do what servers do. Screenshots are left in
build/browser/ for people to look at."""
import json
import os
import re
import shutil
import tempfile
import threading

import chromium
from daemon import ROOT
from harness import DEMO, demo, fake, poll_until
from test_admin import AdminCase

SHOTS = os.environ.get("SCREENSHOTS", os.path.join(ROOT, "build", "browser"))
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe\x1b[31m'\"&amp;"

# What stands in a row: {name: {state, text}}; hidden rows are not there.
ROWS = """Object.fromEntries([...document.querySelectorAll('#servers > li:not([hidden])')].map((li) => [li.dataset.name,
    {state: li.querySelector('.state').innerText.trim(), text: li.innerText,
     cells: [...li.querySelectorAll('.row .cell')].map((c) => c.className.replace('cell c-', '')),
     trouble: li.querySelector('.trouble').hidden ? '' : li.querySelector('.why').innerText}]))"""


def setUpModule():
    global browser
    browser = None
    program = chromium.find()
    if program:
        browser = chromium.Browser(program)


def tearDownModule():
    if browser:
        browser.close()


class PageCase(AdminCase):
    servers = None

    def setUp(self):
        super().setUp()
        if not browser:
            if os.environ.get("CI"):
                self.fail("chromium is not installed; scripts/deps browser installs it")
            self.skipTest("chromium is not installed; scripts/deps browser installs it")
        self.expected = []  # complaints of the browser that the test provokes
        self.page = None

    def open(self, width=1366, height=900, url=None, **more):
        if not url:
            self.tunnel = chromium.Tunnel(self.daemon.socket_path("admin"))
            self.addCleanup(self.tunnel.cut)
            url = self.tunnel.url
        self.page = chromium.Page(browser)
        self.addCleanup(self.check_complaints)
        self.page.look(width, height, **more)
        self.page.goto(url)
        self.page.wait("document.querySelector('#live')?.innerText === 'live'", "the page to be live")
        return self.page

    def check_complaints(self):
        self.page.goto("about:blank")
        left = [c for c in self.page.complaints if not any(e in c for e in self.expected)]
        self.assertEqual(left, [], "the browser complains")

    def rows(self):
        return self.page.eval(ROWS)

    def wait_row(self, name, condition, what):
        def look():
            row = self.rows().get(name)
            return row if row and condition(row) else None
        return poll_until(look, lambda: "%s of %s on the page: %s" % (what, name, self.rows().get(name)))

    def assert_fits(self):
        """Nothing sticks out to the right: no page that has to be moved sideways."""
        wide = self.page.eval("""[...document.querySelectorAll('body *')].filter((n) => !n.closest('.scroll') && !n.closest('svg')
            && n.getBoundingClientRect().right > innerWidth + 0.5 && n.getClientRects().length).map((n) => n.outerHTML.slice(0, 120))""")
        self.assertEqual(wide, [])
        self.assertLessEqual(self.page.eval("document.documentElement.scrollWidth - innerWidth"), 0)

    def shot(self, name, **more):
        if more.get("whole", True):
            # What is out of sight is not drawn otherwise.
            self.page.eval("scrollTo(0, 0), document.querySelectorAll('.server').forEach((n) => { n.style.contentVisibility = 'visible'; })")
        self.page.screenshot(os.path.join(SHOTS, name + ".png"), **more)


class PageTest(PageCase):
    """One daemon with servers of every kind."""

    def setUp(self):
        super().setUp()
        self.place = tempfile.mkdtemp(prefix="mcpool-page-")
        self.addCleanup(shutil.rmtree, self.place)
        self.late = os.path.join(self.place, "late")
        missing = os.path.join(self.place, HOSTILE.replace("/", "_"))
        self.start({"files": fake(), "github": demo(), "search": fake(), "calendar": {"command": self.late},
                    "hostile": {"command": missing}, "idle": demo(resilience={"min_connections": 0})},
                   {"resilience": {"min_connections": 2, "max_connections": 6, "recovery_jitter_max": 0}})
        self.daemon.allow_error("breaker")

    def traffic(self):
        """Calls that go on until the test ends."""
        stop = threading.Event()

        def work(server, tool):
            c = self.http(server)
            while not stop.is_set():
                try:
                    c.tool(*tool)
                except Exception:  # the server may just have been killed
                    if stop.wait(0.1):
                        return
                stop.wait(0.02)
        threads = [threading.Thread(target=work, args=a) for a in
                   (("github", ("echo", {"text": "x"})), ("search", ("report",)), ("github", ("echo", {"text": "y"})))]
        for t in threads:
            t.start()

        def end():
            stop.set()
            for t in threads:
                t.join()
        self.addCleanup(end)

    def test_the_page_tells_what_is_the_case_and_changes_with_it(self):
        c = self.http("files")
        c.tool("report")
        self.traffic()
        page = self.open()
        files = self.wait_row("files", lambda r: r["state"] == "healthy", "health")
        self.assertEqual(files["cells"].count("ready"), 2)
        self.assertEqual(files["cells"].count("idle"), 4)
        self.assertEqual(files["trouble"], "")
        calendar = self.wait_row("calendar", lambda r: "waiting" in r["cells"], "a failed connection")
        self.assertEqual(calendar["state"], "unhealthy")
        self.assertIn("No such file", calendar["trouble"])
        self.assertRegex(calendar["trouble"], r"2 connections of 6 failed; the next attempt comes (in \d+ s|now)")
        self.assertEqual(self.wait_row("idle", lambda r: True, "a row")["state"], "unknown")
        order = list(self.rows())
        self.assertEqual(set(order[:2]), {"calendar", "hostile"})
        self.assertIn("calendar", page.eval("document.querySelector('#queue').innerText"))
        self.assertIn("calendar", page.eval("document.querySelector('#log').innerText"))
        page.wait("parseFloat(document.querySelector('#tiles').innerText.match(/calls per second\\s+([\\d.]+)/)?.[1]) > 1", "a rate")
        page.wait("/\\d ms/.test(document.querySelector('#tiles').innerText)", "a latency")
        page.wait("(document.querySelector('#charts .area-ok').getAttribute('d') || '').length > 20", "a chart")

        # A death, live.
        opened = self.status("files")["metrics"]["total_created"]
        self.kill(c)
        page.wait("[...document.querySelectorAll('#log li')].some((li) => /files/.test(li.innerText) && /lost/.test(li.innerText))",
                  "the death in the log")
        self.when("files", lambda s: s["metrics"]["total_created"] == opened + 1, "its successor")
        self.wait_row("files", lambda r: r["cells"].count("ready") == 2, "its successor")

        # Another place of the same server's calls.
        call, _ = self.hold(c, server="files")
        self.wait_row("files", lambda r: "busy" in r["cells"], "a call at it")
        self.release(c)
        call.result()
        self.wait_row("files", lambda r: "busy" not in r["cells"], "no call at it")
        self.shot("desktop-light")
        page.look(1366, 900, dark=True)
        self.shot("desktop-dark")
        page.look(360, 740, phone=True)
        self.assert_fits()
        self.shot("phone-light", whole=False)
        self.shot("phone-light-whole")
        page.look(360, 740, phone=True, dark=True)
        self.shot("phone-dark", whole=False)
        for width in (320, 500, 720, 900, 1081, 1366, 2200):
            page.look(width, 900)
            self.assert_fits()

    def test_recover(self):
        page = self.open()
        self.wait_row("calendar", lambda r: r["cells"].count("waiting") == 2, "two failed connections")
        os.symlink(DEMO, self.late)
        forced = self.status("calendar")["metrics"]["forced_recoveries"]
        page.click('li[data-name="calendar"] .trouble button')
        page.wait("/Recovery was forced: 2 back-offs put back/.test(document.querySelector('#said').textContent)", "the answer")
        self.assertEqual(self.status("calendar")["metrics"]["forced_recoveries"], forced + 1)
        row = self.wait_row("calendar", lambda r: r["state"] == "healthy", "health")
        self.assertEqual(row["trouble"], "")
        page.wait("[...document.querySelectorAll('#log li')].some((li) => /calendar/.test(li.innerText) && /by force/.test(li.innerText))",
                  "the recovery in the log")

    def test_modes_are_told(self):
        page = self.open()
        self.wait_row("files", lambda r: r["state"] == "healthy", "health")
        self.ask("/drain?server=files", "POST")
        self.ask("/maint?server=search", "POST")
        row = self.wait_row("files", lambda r: "drain" in r["state"], "the mode")
        self.assertIn("Drained by an operator", row["trouble"])
        self.assertIn("mcpoolctl resume files", row["trouble"])
        self.assertIn("In maintenance", self.wait_row("search", lambda r: "maint" in r["state"], "the mode")["trouble"])
        self.assertIn("2 set aside", page.eval("document.querySelector('#tiles').innerText"))
        self.assertEqual(page.eval("document.querySelectorAll('li[data-name=files] .trouble .acts:not([hidden])').length"), 0)
        self.shot("modes")
        self.ask("/resume?server=files", "POST")
        self.wait_row("files", lambda r: r["state"] == "healthy" and r["trouble"] == "", "the end of the mode")

    def test_a_reload_is_followed(self):
        page = self.open()
        self.wait_row("search", lambda r: r["state"] == "healthy", "health")
        page.click('li[data-name="search"] .row')
        servers = self.daemon.config["mcpServers"]
        del servers["search"]
        servers["added"] = demo()
        with open(self.daemon.config_path, "w", encoding="utf-8") as f:
            json.dump(self.daemon.config, f)
        self.assertTrue(self.json("/reload", "POST")["applied"])
        self.wait_row("added", lambda r: r["state"] == "healthy", "health")
        page.wait("!document.querySelector('li[data-name=search]')", "the end of a row")
        self.assertIn("Servers (6)", page.eval("document.querySelector('#servers-title').innerText"))

    def test_text_of_servers_is_only_ever_text(self):
        page = self.open()
        row = self.wait_row("hostile", lambda r: "onerror" in r["trouble"], "the hostile name")
        self.assertIn("<img src=x onerror=alert(1)>", row["trouble"])
        self.assertNotIn("\u202e", page.eval("document.body.innerText"))
        page.click('li[data-name="hostile"] .row')
        page.wait("document.querySelector('li[data-name=hostile] .detail').innerText.includes('onerror')", "the details")
        self.assertEqual(page.eval("document.querySelectorAll('img').length"), 0)
        self.expected += ["This document requires", "Content Security Policy"]
        for attack in ("document.body.insertAdjacentHTML('beforeend', '<b>x</b>')", "document.createElement('script').text = '1'",
                       "document.createElement('i').setAttribute('onclick', '1')"):
            self.assertIn("Trusted", page.eval("(() => { try { %s; return 'it worked'; } catch (e) { return String(e); } })()" % attack))
        for attack, directive in (("fetch('http://127.0.0.1:1/').catch(() => 0)", "connect-src"), ("new Image().src = 'http://127.0.0.1:1/'", "img-src")):
            self.assertEqual(page.eval("""new Promise((r) => { addEventListener('securitypolicyviolation',
                (e) => r(e.effectiveDirective), {once: true}); %s; })""" % attack), directive)

    def test_details(self):
        c = self.http("files")
        for _ in range(5):
            c.tool("report")
        page = self.open()
        self.wait_row("files", lambda r: r["state"] == "healthy", "health")
        page.click('li[data-name="files"] .row')
        text = page.wait("document.querySelector('li[data-name=files] .detail')?.innerText", "the details")
        self.assertIn("results, 0 errors", text)
        self.assertIn("fake_server.py" if "fake_server.py" in json.dumps(self.status("files")["server_config"]) else "transport", text)
        self.assertEqual(page.eval("document.querySelectorAll('li[data-name=files] tbody tr').length"), 2)
        page.click('li[data-name="calendar"] .row')
        page.wait("document.querySelector('li[data-name=calendar] .detail').innerText.includes('No such file')", "its error")
        page.click('li[data-name="files"] .row')
        page.click('li[data-name="files"] .row')
        self.shot("details")
        page.look(360, 740, phone=True)
        self.assert_fits()
        self.shot("details-phone")

    def test_keys_alone_are_enough(self):
        page = self.open()
        self.wait_row("files", lambda r: r["state"] == "healthy", "health")
        page.press("/", 191, "/")
        self.assertEqual(page.eval("document.activeElement.id"), "find")
        page.type("files")
        self.assertEqual(list(self.rows()), ["files"])
        page.press("Tab", 9)
        self.assertEqual(page.eval("document.activeElement.closest('li').dataset.name"), "files")
        page.press("Enter", 13, "\r")
        self.assertEqual(page.eval("document.activeElement.getAttribute('aria-expanded')"), "true")
        names = page.eval("""[...document.querySelectorAll('button, input, select, [role=region], [role=log], [role=img]')].filter((n) => n.getClientRects().length
            && !(n.getAttribute('aria-label') || n.getAttribute('aria-labelledby') || n.innerText || (n.labels && n.labels.length)))
            .map((n) => n.outerHTML.slice(0, 120))""")
        self.assertEqual(names, [], "without a name for those who do not see")

    def test_colours_are_told_apart(self):
        """WCAG 2 AA: 4.5 to 1 for every text that is shown, in both schemes."""
        page = self.open()
        self.wait_row("calendar", lambda r: "waiting" in r["cells"], "a failed connection")
        page.click('li[data-name="calendar"] .row')
        page.eval("document.querySelector('#level').value = 'info', document.querySelector('#level').dispatchEvent(new Event('change'))")
        for dark in (False, True):
            page.look(1366, 900, dark=dark)
            self.assertEqual(page.eval(CONTRAST), [], "dark" if dark else "light")

    def test_a_lost_connection_is_told_and_comes_back(self):
        page = self.open()
        self.expected += ["net::ERR_"]
        self.wait_row("files", lambda r: r["state"] == "healthy", "health")
        self.tunnel.cut()
        page.wait("!document.querySelector('#lost').hidden && document.querySelector('#lost').innerText.includes('Last seen')", "the banner")
        page.wait("/[1-9] s ago/.test(document.querySelector('#lost').innerText)", "its age")
        self.shot("lost", whole=False)
        c = self.http("files")
        c.tool("report")
        self.kill(c)  # while nobody watches
        self.tunnel.mend()
        page.wait("document.querySelector('#lost').hidden && document.querySelector('#live').innerText === 'live'", "the return")
        page.wait("[...document.querySelectorAll('#log li')].some((li) => /files/.test(li.innerText) && /lost/.test(li.innerText))",
                  "what was missed")
        told = page.eval("[...document.querySelectorAll('#log li')].map((li) => li.querySelector('time').title + li.innerText)")
        self.assertEqual(len(told), len(set(told)), "told twice")
        self.assertEqual(page.eval("document.querySelector('body').classList.contains('stale')"), False)

    def test_a_restart_is_told(self):
        page = self.open()
        self.expected += ["net::ERR_"]
        self.wait_row("files", lambda r: r["state"] == "healthy", "health")
        old = self.daemon.process.pid
        self.daemon.stop()
        page.wait("!document.querySelector('#lost').hidden", "the banner")
        self.daemon.start()
        page.wait("document.querySelector('#facts').innerText.includes('pid %d')" % self.daemon.process.pid, "the new process")
        self.assertNotEqual(self.daemon.process.pid, old)
        page.wait("document.querySelector('#log').innerText.includes('started again')", "a word of it")
        self.wait_row("files", lambda r: r["state"] == "healthy", "health")


class PortTest(PageCase):
    """Through the port, where everybody on the machine may look and nobody change anything."""

    def test_nothing_can_be_pressed_and_no_log_is_shown(self):
        self.start({"demo": demo(), "missing": {"command": "/no/such/program"}}, {"admin_listen": "127.0.0.1:0"})
        (line,) = self.daemon.log.matching("read-only, on http://")
        page = self.open(url=re.search(r"http://\S+", line).group() + "/")
        row = self.wait_row("missing", lambda r: r["state"] == "unhealthy", "trouble")
        self.assertIn("mcpoolctl recover missing", page.eval("document.querySelector('li[data-name=missing] .hint').innerText"))
        self.assertTrue(row["trouble"])
        self.assertEqual(page.eval("[...document.querySelectorAll('button')].filter((b) => b.innerText === 'Recover' && b.getClientRects().length).length"), 0)
        self.assertEqual(page.eval("document.querySelectorAll('#log li').length"), 0)
        page.wait("!document.querySelector('#log-private').hidden", "the reason")
        page.click("li[data-name=missing] .hint button")
        page.wait("/Copied|Selected/.test(document.querySelector('li[data-name=missing] .hint button').innerText)", "the copy")
        self.shot("port")


class HundredTest(PageCase):
    """A hundred servers, of which some are in trouble."""

    def setUp(self):
        super().setUp()
        servers = {"server-%02d" % i: demo(resilience={"min_connections": 0}) for i in range(92)}
        servers.update({"broken-%d" % i: {"command": "/no/such/program-%d" % i} for i in range(8)})
        self.start(servers, {"resilience": {"min_connections": 1, "max_connections": 4}})
        self.daemon.allow_error("breaker")

    def test_a_hundred_servers(self):
        page = self.open()
        page.wait("document.querySelectorAll('#servers > li').length === 100", "all rows")
        for i in range(8):
            self.wait_row("broken-%d" % i, lambda r: r["state"] == "unhealthy", "trouble")
        page.wait("[...document.querySelectorAll('#servers > li')].slice(0, 8).every((li) => li.dataset.name.startsWith('broken-'))",
                  "trouble first")
        self.assertIn("Servers (100)", page.eval("document.querySelector('#servers-title').innerText"))
        self.assertIn("8 unhealthy", page.eval("document.querySelector('#tiles').innerText"))
        self.shot("hundred", whole=False)
        self.shot("hundred-whole")
        page.eval("document.querySelector('#only').click()")
        self.assertEqual(len(self.rows()), 8)
        page.eval("document.querySelector('#only').click()")
        page.click("#find")
        page.type("server-4")
        self.assertEqual(len(self.rows()), 10)
        self.shot("hundred-filtered", whole=False)
        page.look(360, 740, phone=True)
        self.assert_fits()
        self.shot("hundred-phone", whole=False)


CONTRAST = """(() => {
  const parse = (c) => { const m = c.match(/rgba?\\(([^)]+)\\)/); if (m) return m[1].split(/[ ,/]+/).map(Number);
    const s = c.match(/color\\(srgb ([^)]+)\\)/); if (s) { const v = s[1].split(/[ /]+/).map(Number); return [v[0] * 255, v[1] * 255, v[2] * 255, v[3] ?? 1]; }
    throw new Error(c); };
  const over = (a, b) => { const t = a[3] ?? 1; return [0, 1, 2].map((i) => a[i] * t + b[i] * (1 - t)); };
  const lum = (c) => { const v = c.slice(0, 3).map((x) => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const back = (n) => { const chain = []; for (let e = n; e; e = e.parentElement) chain.unshift(parse(getComputedStyle(e).backgroundColor));
    return chain.reduce((under, c) => over(c, under), [255, 255, 255]); };
  const found = [];
  for (const n of document.querySelectorAll('body *')) {
    if (n.closest('svg') || n.closest('.vh') || !n.getClientRects().length || n.disabled || n.closest('noscript')) continue;
    if (![...n.childNodes].some((c) => c.nodeType === 3 && c.data.trim())) continue;
    const b = back(n), t = over(parse(getComputedStyle(n).color), b), x = lum(b), y = lum(t);
    const ratio = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    if (ratio < 4.5) found.push(ratio.toFixed(2) + ' ' + n.className + ' ' + n.textContent.slice(0, 40));
  }
  return [...new Set(found)];
})()"""
