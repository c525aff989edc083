// Conversations, kept in this browser alone.
const kKey = "looplm.conversations";
const kMost = 50;

export function all() {
  try {
    return JSON.parse(localStorage.getItem(kKey)) || [];
  } catch {
    return [];
  }
}

function store(conversations) {
  // A browser gives a page a few megabytes: the oldest make room.
  for (let count = kMost; count > 0; count = Math.floor(count / 2)) {
    try {
      localStorage.setItem(kKey, JSON.stringify(conversations.slice(0, count)));
      return;
    } catch {
      // Too large: fewer.
    }
  }
}

export function save(conversation) {
  store([conversation, ...all().filter((one) => one.id !== conversation.id)]);
}

export function remove(id) {
  store(all().filter((one) => one.id !== id));
}

export function setting(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(`looplm.${name}`, JSON.stringify(value));
    return JSON.parse(localStorage.getItem(`looplm.${name}`));
  } catch {
    // A browser may refuse to keep anything.
    return null;
  }
}
