(() => {
  'use strict';
  const read = (id) => {
    try { return JSON.parse(document.getElementById(id).textContent); } catch { return null; }
  };

  // What the server asks is kept within these, in milliseconds.
  const SOONEST = 500, LATEST = 300000;
  // After a failure waits double from the first to the last.
  const FIRST_RETRY = 2000, LAST_RETRY = 30000;
  const ANSWER_WITHIN = 15000;
  // Nobody wants to be told more often, in milliseconds.
  const SAY_AGAIN = 30000;
  // Nearly there: from NEAR on, until it is more than FAR again, in seconds.
  const NEAR = 30, FAR = 90;
  // So many answers without a place, and the browser keeps no cookies.
  const PLACELESS = 3;
  // While a stream speaks, polls only make sure that it still does; one that broke is not tried again so soon.
  const CHECK = 30000, DEAF = 60000;

  const begin = () => {
    const texts = read('waitroom-texts');
    const first = read('waitroom-status') || {};
    const room = first.room || '';
    const root = document.documentElement;
    const label = room === 'default' ? '' : ' – ' + room.charAt(0).toUpperCase() + room.slice(1).replace(/[-_]/g, ' ');
    const figures = new Intl.NumberFormat(root.lang || 'en');
    const still = matchMedia('(prefers-reduced-motion: reduce)');
    const all = (name) => document.querySelectorAll(`[data-wr="${name}"]`);
    const put = (name, text) => all(name).forEach((element) => {
      if (element.textContent !== text) element.textContent = text;
    });
    const fill = (text, values) => text.replace(/{(\w+)}/g, (_, name) => values[name]);
    const spread = (ms) => ms / 2 + Math.random() * ms / 2;

    // ---- What this tab remembers: where it began and the best place so far, for each ticket.
    const store = {
      get(key) {
        try { return JSON.parse(sessionStorage.getItem(key + room)); } catch { return null; }
      },
      set(key, value) {
        try { sessionStorage.setItem(key + room, JSON.stringify(value)); } catch { /* then not after a reload */ }
      },
    };
    let way = store.get('waitroom:') || {};
    // The place to show; 0: none yet.
    let place = 0;
    const along = (status) => {
      if (status.position) {
        if (way.seq !== status.seq) way = { seq: status.seq, first: status.position, best: status.position };
        way.best = Math.min(way.best, status.position);
        store.set('waitroom:', way);
      }
      place = status.seq && status.seq === way.seq ? way.best : 0;
    };

    // ---- Words.
    const range = (low, high, one, many, between) => {
      if (low === 1 && high === 1) return one;
      if (low >= high) return fill(many, { n: figures.format(high) });
      return fill(between, { low: figures.format(low), high: figures.format(high) });
    };
    const eta = (time) => {
      const words = texts.eta;
      if (!time) return words.unknown;
      if (time.high < 60) return words.moment;
      if (time.high <= 5400) {
        let low = Math.max(1, Math.floor(time.low / 60)), high = Math.ceil(time.high / 60);
        if (low > 10) low = Math.floor(low / 5) * 5;
        if (high > 10) high = Math.ceil(high / 5) * 5;
        return range(low, high, words.minute, words.minutes, words.minutes_range);
      }
      if (time.low >= 86400) return words.day;
      const low = Math.max(1, Math.floor(time.low / 3600)), high = Math.ceil(time.high / 3600);
      return range(low, high, words.hour, words.hours, words.hours_range);
    };

    // ---- What is seen.
    let view = root.dataset.view, shown = null, frame = 0;
    const number = (value) => {
      shown = value;
      const text = figures.format(value);
      all('position').forEach((element) => {
        element.textContent = text;
        element.dataset.len = text.length;
      });
    };
    // Counts down to the new place; never up.
    const roll = (to) => {
      cancelAnimationFrame(frame);
      if (shown === null || shown <= to || document.hidden || still.matches) return number(to);
      const from = shown, start = performance.now();
      const step = (now) => {
        const part = Math.min(1, Math.max(0, now - start) / 800);
        number(Math.round(from + (to - from) * (1 - (1 - part) ** 3)));
        if (part < 1) frame = requestAnimationFrame(step);
      };
      frame = requestAnimationFrame(step);
    };
    const progress = (part, words) => all('progress').forEach((bar) => {
      bar.style.setProperty('--p', part.toFixed(4));
      bar.setAttribute('aria-valuenow', Math.round(part * 100));
      bar.setAttribute('aria-valuetext', words);
    });
    const turn = (next) => {
      view = root.dataset.view = next;
      const words = texts.views[view];
      put('heading', words.heading);
      put('message', words.message);
      const ahead = place && /waiting|near|paused/.test(view) ? figures.format(place) + ' · ' : '';
      document.title = ahead + words.title + label;
    };

    // ---- What is said to screen readers: every change of view, else little.
    const voice = document.createElement('div');
    voice.setAttribute('role', 'status');
    voice.style.cssText = 'position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap';
    (document.querySelector('main') || document.body).append(voice);
    let said = { view, at: 0, place: 0 };
    const say = (time) => {
      const changed = said.view !== view;
      const idle = Date.now() - said.at >= SAY_AGAIN;
      // Close to the limit waiting and near take turns: that is not news.
      const news = changed && (idle || !(/waiting|near/.test(said.view) && /waiting|near/.test(view)));
      const closer = place && idle && (place <= said.place * 0.8 || (place <= 10 && place < said.place));
      if (!said.place && place && !changed) said = { view, at: Date.now(), place };
      if (!news && !closer) return;
      const words = texts.views[view];
      const where = place && fill(texts.announce, { n: figures.format(place), eta: eta(time) });
      voice.textContent = news ? `${words.heading}. ${view === 'paused' || !where ? words.message : where}` : where;
      said = { view, at: Date.now(), place };
    };

    // ---- What the server says.
    let over = false, entering = false, placeless = 0, failures = 0;
    const viewOf = (status) => {
      if (status.paused) return 'paused';
      if (!place) return placeless >= PLACELESS || !navigator.cookieEnabled ? 'cookies' : 'joining';
      const soon = view === 'near' ? FAR : NEAR;
      return status.eta_s && status.eta_s.high <= soon ? 'near' : 'waiting';
    };
    const show = (status) => {
      along(status);
      if (place) {
        roll(place);
        put('waiting', figures.format(Math.max(status.waiting, place)));
        const words = { n: figures.format(place), total: figures.format(way.first) };
        progress((way.first - place + 1) / (way.first + 1), fill(texts.progress, words));
      }
      put('eta', eta(status.eta_s));
      put('notice', status.stale ? texts.stale : '');
      turn(viewOf(status));
      say(status.eta_s);
    };
    const end = (last) => {
      over = true;
      place = 0;
      clearTimeout(timer);
      hush();
      turn(last);
      say();
    };
    // Reloads into the site. Should the waiting page come back all the same, not in a tight circle.
    const enter = () => {
      entering = true;
      progress(1, '');
      end('admitted');
      const before = store.get('waitroom-enter:');
      const times = before && Date.now() - before.at < 60000 ? before.times + 1 : 0;
      store.set('waitroom-enter:', { at: Date.now(), times });
      setTimeout(() => location.reload(), times ? spread(Math.min(LAST_RETRY, 1000 * 2 ** times)) : 200);
    };
    // Shows a status; returns when to ask again.
    const take = (status) => {
      failures = 0;
      if (status.state === 'admitted') return enter();
      if (status.state === 'none') return end('left');
      placeless = status.seq || status.stale || status.paused ? 0 : placeless + 1;
      show(status);
      put('updated', fill(texts.updated, { time: new Date().toLocaleTimeString(root.lang) }));
      const asked = Number(status.poll_after_ms) || 0;
      const patience = placeless ? spread(Math.min(LAST_RETRY, 1000 * 2 ** placeless)) : SOONEST;
      return Math.min(LATEST, Math.max(asked, patience));
    };
    const retry = () => {
      failures += 1;
      // Once is nothing to worry anybody with.
      if (failures > 1 && view !== 'gone') put('notice', place ? texts.offline : texts.connecting);
      return spread(Math.min(LAST_RETRY, FIRST_RETRY * 2 ** (failures - 1)));
    };

    // ---- Asking.
    let timer = 0, due = 0, asking = null;
    const plan = (ms) => {
      clearTimeout(timer);
      if (over) return;
      due = Date.now() + ms;
      timer = setTimeout(ask, ms);
    };
    const ask = async () => {
      if (over || asking) return;
      clearTimeout(timer);
      asking = new AbortController();
      const limit = setTimeout(() => asking.abort(), ANSWER_WITHIN);
      let next;
      try {
        const answer = await fetch('/queue/status?room=' + encodeURIComponent(room), {
          credentials: 'same-origin',
          cache: 'no-store',
          headers: { Accept: 'application/json' },
          signal: asking.signal,
        });
        const status = answer.ok ? await answer.json() : null;
        if (over) return;
        if (status) next = take(status);
        else if ([400, 404, 410, 421].includes(answer.status)) {
          turn('gone');
          say();
          next = spread(LAST_RETRY * 2);
        } else next = Math.max(retry(), 1000 * (Number(answer.headers.get('Retry-After')) || 0));
      } catch {
        next = retry();
      } finally {
        clearTimeout(limit);
        asking = null;
      }
      listen();
      plan(stream ? CHECK : next);
    };

    // ---- Listening: near the head of the line, where seconds count, and only while somebody looks. For a long wait a
    // poll now and then is cheaper for both sides, and a browser keeps few connections to one site for all its tabs.
    let stream = null, deaf = 0;
    const hush = () => {
      if (stream) stream.close();
      stream = null;
    };
    const listen = () => {
      if (view !== 'near' || document.hidden || over) return hush();
      if (stream || Date.now() < deaf || !window.EventSource) return;
      const mine = stream = new EventSource('/queue/events?room=' + encodeURIComponent(room));
      mine.addEventListener('status', (event) => {
        if (mine !== stream || over) return;
        try { take(JSON.parse(event.data)); } catch { return; }
        plan(CHECK);
        listen();
      });
      // A stream claims no turn: the poll does.
      mine.addEventListener('admitted', () => {
        if (mine !== stream) return;
        hush();
        ask();
      });
      mine.onerror = () => {
        if (mine !== stream) return;
        hush();
        deaf = Date.now() + DEAF;
        plan(spread(FIRST_RETRY));
      };
    };

    // ---- What the visitor does.
    addEventListener('visibilitychange', () => {
      if (!document.hidden && Date.now() >= due) ask();
      else if (document.hidden && stream) plan(spread(FIRST_RETRY));
      listen();
    });
    addEventListener('online', () => plan(Math.random() * 1000));
    // Back from the history as it was left.
    addEventListener('pageshow', (event) => {
      if (event.persisted && entering) location.reload();
      else if (event.persisted) ask();
    });
    const form = document.querySelector('form[action^="/queue/leave"]');
    const box = form && form.closest('details');
    if (form) form.addEventListener('submit', async (event) => {
      event.preventDefault();
      over = true;
      clearTimeout(timer);
      hush();
      if (asking) asking.abort();
      form.querySelectorAll('button').forEach((button) => { button.disabled = true; });
      try {
        const answer = await fetch(form.action, { method: 'POST', credentials: 'same-origin', headers: { Accept: 'application/json' } });
        if (!answer.ok) throw answer;
      } catch {
        // The browser can do it without us.
        return form.submit();
      }
      end('left');
      const heading = document.querySelector('h1');
      if (heading) heading.focus();
    });
    all('stay').forEach((button) => button.addEventListener('click', () => {
      if (!box) return;
      box.open = false;
      box.querySelector('summary').focus();
    }));

    root.dataset.script = '';
    if (first.state === 'none') return end('left');
    if (first.state === 'admitted') return enter();
    show(first);
    plan(Number(first.poll_after_ms) || 0);
    listen();
  };

  if (document.getElementById('waitroom-status')) begin();
  else addEventListener('DOMContentLoaded', begin);
})();
