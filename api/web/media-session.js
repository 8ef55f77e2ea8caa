// The keys and lock screen of the device.

/** Tells the device what plays and lets it control that. */
export function announceTo(recording, playback, transport) {
  const session = navigator.mediaSession;
  if (!session) return;
  session.metadata = new MediaMetadata({
    title: recording.title,
    artist: recording.room.host || recording.room.title,
    album: recording.room.title,
  });
  const actions = {
    play: () => void playback.play(),
    pause: () => playback.pause(),
    seekbackward: () => transport.skip(-1),
    seekforward: () => transport.skip(1),
    seekto: ({ seekTime }) => playback.seek(seekTime * 1000),
  };
  for (const [name, action] of Object.entries(actions)) {
    try {
      session.setActionHandler(name, action);
    } catch {
      // This device has no such key.
    }
  }
}
