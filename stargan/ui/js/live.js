// The camera's frames on their way to the server and back: one is under way at a time, those between are never sent, so that
// nothing queues up. value: what the server needs to know beside the frame.
const find = name => element.querySelector(`.${name}`);
const [video, made, start, stop] = ["camera", "made", "start", "stop"].map(find);
const [between, like, likeness, whole, said] = ["between", "like", "likeness", "whole", "said"].map(find);
const canvas = document.createElement("canvas");
const SIDE = 480; // px of what is sent
const REASONS = {
  NotAllowedError: "The camera was refused. Allow it beside the address of this page, then start again.",
  NotFoundError: "There is no camera. Connect one, then start again.",
  NotReadableError: "The camera is in use by another program. Close it there, then start again.",
  OverconstrainedError: "The camera gives no picture of this size.",
};
const wait = ms => new Promise(done => setTimeout(done, ms));
let running = null;

function say(text) {
  if (said.textContent !== text) said.textContent = text;
}

function end(text) {
  if (!running) return;
  running.stream.getTracks().forEach(track => track.stop());
  running = null;
  video.srcObject = null;
  made.hidden = true; // whoever starts next is somebody else
  start.disabled = false;
  stop.disabled = true;
  say(text);
}

async function begin() {
  if (running) return;
  if (!navigator.mediaDevices?.getUserMedia) {
    say("This browser gives a page no camera here. Open the page by https, or on the machine itself.");
    return;
  }
  start.disabled = true;
  say("Waiting for the camera.");
  let stream;
  try {
    const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    start.disabled = false;
    say(REASONS[error.name] || `The camera cannot be used (${error.message}).`);
    return;
  }
  const run = (running = { stream, visitor: Math.random().toString(36).slice(2), shown: [], delays: [] });
  stop.disabled = false;
  stop.focus();
  for (const track of stream.getTracks()) {
    track.addEventListener("ended", () => running === run && end("The camera is gone. Connect it, then start again."));
  }
  video.srcObject = stream;
  await video.play();
  translate(run);
}

function frame() {
  const scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(scale * video.videoWidth);
  canvas.height = Math.round(scale * video.videoHeight);
  const context = canvas.getContext("2d");
  // As in a mirror.
  context.setTransform(-1, 0, 0, 1, canvas.width, 0);
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.85);
}

async function translate(run) {
  let failures = 0;
  while (running === run) {
    if (props.value?.said) say(props.value.said);
    if (!video.videoWidth || document.hidden || !element.checkVisibility() || !props.value?.model) {
      run.shown.length = run.delays.length = 0; // a pause is not slowness
      await wait(100);
      continue;
    }
    const taken = performance.now();
    let reply;
    try {
      const options = { visitor: run.visitor, x: Number(between.value), whole: whole.checked };
      if (!like.hidden) options.likeness = Number(likeness.value);
      reply = await server.live_frame({ ...props.value, ...options, picture: frame() });
      if (!reply) throw new Error(); // as Gradio gives for what it could not ask (6.31)
      failures = 0;
    } catch {
      if (++failures === 5) end("The page does not answer. Reload it, then start again.");
      await wait(300);
      continue;
    }
    if (running !== run) return;
    if (reply.ended) return end(reply.ended);
    if (reply.picture) {
      made.src = reply.picture;
      await made.decode().catch(() => {});
      if (made.hidden) {
        made.hidden = false;
        made.scrollIntoView({ block: "nearest" });
      }
      measure(run, taken, performance.now());
    }
    say(reply.said || rate(run));
  }
}

function measure(run, taken, now) {
  run.delays.push(now - taken);
  run.shown.push(now);
  if (run.shown.length > 60) {
    run.shown.shift();
    run.delays.shift();
  }
  element.dataset.frames = Number(element.dataset.frames || 0) + 1;
}

function rate(run) {
  if (run.shown.length < 2) return "";
  const seconds = (run.shown.at(-1) - run.shown[0]) / 1000;
  const median = [...run.delays].sort((a, b) => a - b)[run.delays.length >> 1];
  return `${((run.shown.length - 1) / seconds).toFixed(1)} frames a second, ${median.toFixed(0)} ms from a frame to its picture`;
}

// The likeness of the Translate tab is the one to start from.
function offer() {
  const wanted = props.value?.likeness ?? null;
  like.hidden = wanted === null;
  if (wanted !== null && like.dataset.from !== String(wanted)) likeness.value = like.dataset.from = wanted;
}
watch("value", offer);
offer();

start.addEventListener("click", begin);
stop.addEventListener("click", () => {
  end("Stopped.");
  start.focus();
});
